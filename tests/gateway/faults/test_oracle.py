"""The judge of all these tests finds what it is there to find."""

import json

from tests.gateway.faults.camera import Camera
from tests.gateway.faults.frames import frame
from tests.gateway.faults.ledger import Ending
from tests.gateway.faults.oracle import judge


def test_oracle_finds_each_broken_promise(running):
    with running.camera() as camera:
        _upload_three(camera)
    running.drain()
    running.stop_gateway()
    assert judge(running) == []
    kept = {path.name: path.read_bytes() for path in running.archived()}

    def tampered(name, data):
        path = running.root / name
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
        faults = judge(running)
        path.write_bytes(kept[name]) if name in kept else path.unlink()
        return " ".join(faults)

    assert "is not on the archive" in tampered("a.fits", None)
    assert "nobody has sent it so" in tampered("a.fits", kept["a.fits"][:-1])
    assert "nobody has sent it so" in tampered("d.fits", kept["a.fits"])
    assert "2 copies" in tampered("a~1-2.fits", kept["a.fits"])
    assert "a temporary file is left" in tampered(".a.fits.1.part", b"x")
    assert judge(running) == []


def test_oracle_finds_what_the_pipeline_missed_and_what_was_counted_wrong(running):
    with running.camera() as camera:
        _upload_three(camera)
    running.drain()
    running.stop_gateway()
    lines = running.record.read_text().splitlines(keepends=True)
    running.record.write_text("".join(lines[1:]))
    assert "the pipeline has not got it" in " ".join(judge(running))
    running.record.write_text("".join(lines) + json.dumps({**json.loads(lines[0]), "digest": ""}))
    assert judge(running) == []  # a line that was never finished is none
    with running.record.open("a") as record:
        record.write("\n")
    assert "other bytes" in " ".join(judge(running))
    running.record.write_text("".join(lines))
    running.ledger.add(("a.fits",), frame(6000), Ending.ACKNOWLEDGED)
    assert "expected 4 to 4 files acknowledged" in " ".join(judge(running))


def test_oracle_finds_a_gateway_that_says_226_before_it_commits(plant):
    plant.start_gateway(hasty=True, pipeline="raising")
    with plant.camera() as camera:
        _upload_three(camera)
    plant.kill_gateway()
    plant.start_archive()
    plant.start_gateway()
    plant.drain()
    plant.stop_gateway()
    faults = judge(plant)
    for name in ("a.fits", "b.fits", "c.fits"):
        assert f"('{name}',) was acknowledged and is not on the archive: []" in faults
        assert f"('{name}',) was acknowledged and the pipeline has not got it" in faults


def _upload_three(camera: Camera) -> None:
    for name in ("a.fits", "b.fits", "c.fits"):
        assert camera.upload(name, frame(6000)).startswith("226")
