"""Each step of a file's life is one line that people and programs can read."""

import ftplib
import io
import logging
import re
import shlex
import socket
import struct

import pytest

from tosip.gateway.lives import tell

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def lines(caplog):
    """What was logged: each step with its facts as they are written."""
    caplog.set_level(logging.INFO, "tosip.gateway.files")

    def read():
        split = [shlex.split(r.getMessage()) for r in caplog.records if hasattr(r, "step")]
        return [(step, dict(word.split("=", 1) for word in words)) for step, *words in split]

    return read


def test_line_can_be_split_again(lines, caplog):
    facts = {"id": "1-2", "name": 'a "b" c\n=d.fits', "camera": "", "size": 5, "seconds": 0.12345}

    tell("received", **facts)

    assert lines() == [
        (
            "received",
            {
                "id": "1-2",
                "name": r'a "b" c\n=d.fits',
                "camera": "",
                "size": "5",
                "seconds": "0.123",
            },
        )
    ]
    (record,) = caplog.records
    assert record.facts == facts


def test_every_step_of_a_file_tells_which_it_is_and_how_long_it_took(running, image, lines):
    running.upload("x.fits", image())
    running.until_delivered(1)
    running.release(running.stored[0])
    running.stop_gateway()

    (file,) = running.stored
    steps = [step for step, _ in lines()]
    # The pipeline and the archive are independent of one another.
    assert steps.count("released") == 1
    assert [step for step in steps if step != "released"] == [
        "received",
        "committed",
        "announced",
        "forwarded",
        "verified",
    ]
    known = {"id": file.id, "camera": "cam01", "name": "x.fits", "hash": file.digest}
    for _, facts in lines():
        assert facts.items() >= {**known, "size": str(len(image()))}.items()
        assert re.fullmatch(r"\d+\.\d{3}", facts["seconds"])


def test_what_becomes_of_a_file_that_does_not_go_straight_is_told(running, image, put, lines):
    running.loop.call_soon_threadsafe(running.gateway.pause, True)
    with running.ftp() as client:
        put(client, "x.tmp", image())
        client.rename("x.tmp", "x.fits")
        put(client, "x.fits", image())
        with pytest.raises(ftplib.error_temp, match="451"):
            put(client, "short.fits", image()[:-1])
        client.voidcmd("TYPE A")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.storlines("STOR text.fits", io.BytesIO(b"a"))
        client.voidcmd("TYPE I")
        _break_off(client, "cut.fits", image()[:2880])
    (copy,) = running.committed()
    copy.write_bytes(b"damaged")
    running.loop.call_soon_threadsafe(running.gateway.pause, False)
    running.until(lambda: running.counters.dead == 1)
    running.call(running.gateway.retry())
    running.until(lambda: running.counters.dead == 1)
    running.call(running.gateway.discard([running.stored[0].id]))

    told = {step: facts for step, facts in lines() if step != "received"}
    assert {step: facts["name"] for step, facts in told.items()} == {
        "held": "x.tmp",
        "renamed": "x.fits",
        "announced": "x.fits",
        "duplicate": "x.fits",
        "quarantined": "short.fits",
        "refused": "text.fits",
        "interrupted": "cut.fits",
        "dead": "x.fits",
        "retried": "x.fits",
        "discarded": "x.fits",
    }
    for step in ("held", "renamed", "dead", "retried", "discarded"):
        assert told[step].items() >= {"id": running.stored[0].id, "camera": "cam01"}.items()
    assert "got 7" in told["dead"]["reason"]
    assert f"expected {len(image())} bytes" in told["quarantined"]["reason"]
    assert told["refused"]["reason"].startswith("550 ")
    assert told["interrupted"].items() >= {"user": "cam01", "size": "2880"}.items()


def _break_off(client: ftplib.FTP, name: str, data: bytes) -> None:
    with client.transfercmd(f"STOR {name}") as connection:
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    with pytest.raises(ftplib.error_temp):
        client.voidresp()
