"""`tosip replay BUNDLE`: a frame that failed in a plugin fails again, until it is mended."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.bundles.test_keeper import kept_rig, until_kept
from tests.commands.command import image, python, refused, tosip
from tests.pipeline.rig import SOURCE, run

FAILURES = {
    "raises": ("raise ValueError(params.threshold, metadata.port)", "ValueError: (7.5, 'CAM')"),
    "dies": ("ctypes.string_at(int(image[0, 0]) - 1)", "killed by SIGSEGV"),
    "hangs": ("while True: pass", "no result in 0.5 s"),
}
MENDED = SOURCE.replace('exec(attributes.get("DO", ""), scope)', "pass")


def keep(folder: Path, *dos: str, source: str = SOURCE) -> list[Path]:
    """Let frames fail in a plugin and return their bundles."""

    async def work():
        async with kept_rig(folder, source, process_timeout=0.5) as (rig, _):
            rig.plugin.params.set("threshold", 7.5)
            for number, do in enumerate(dos, 1):
                await rig.process(do, unique_id=number)
                await until_kept(rig, number)

    run(work())
    return sorted((folder / "bundles" / "PROBE").iterdir())


@pytest.mark.parametrize(("do", "error"), FAILURES.values(), ids=FAILURES)
def test_failure_is_reproduced_and_mended(tmp_path, do, error):
    (bundle,) = keep(tmp_path, do)
    result = tosip(tmp_path, "replay", bundle)
    assert (result.returncode, result.stderr) == (1, "")
    assert f"{bundle}: reproduced: {error}" in result.stdout
    assert f"{tmp_path}/probe.py, as it was" in result.stdout
    (tmp_path / "mended.py").write_text(MENDED)
    result = tosip(tmp_path, "replay", "mended.py", bundle / "bundle.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{bundle}: works now: status ok" in result.stdout
    assert "total = 20.0" in result.stdout
    assert "other code" in result.stdout


def test_code_is_that_of_the_file_or_of_the_bundle(tmp_path):
    (bundle,) = keep(tmp_path, "raise ValueError('odd')")
    (tmp_path / "probe.py").write_text(MENDED)
    assert "works now" in tosip(tmp_path, "replay", bundle).stdout
    bundled = tosip(tmp_path, "replay", bundle, "--bundled-code")
    assert "reproduced: ValueError: odd" in bundled.stdout
    assert "bundled code, as it was" in bundled.stdout
    (tmp_path / "probe.py").unlink()
    line = refused(tosip(tmp_path, "replay", bundle))
    assert line == (
        f"{tmp_path}/probe.py: expected the algorithm's file, got none "
        "(--bundled-code runs it as it was)"
    )
    assert "reproduced: " in tosip(tmp_path, "replay", bundle, "--bundled-code").stdout


def test_bundled_code_has_the_modules_beside_it(tmp_path):
    (tmp_path / "helper.py").write_text("def fail():\n    raise ValueError('of the helper')\n")
    (bundle,) = keep(tmp_path, "helper.fail()", source="import helper\n" + SOURCE)
    (tmp_path / "helper.py").unlink()
    result = tosip(tmp_path, "replay", bundle, "--bundled-code")
    assert "reproduced: ValueError: of the helper" in result.stdout
    assert sorted(path.name for path in (bundle / "code").iterdir()) == ["helper.py", "probe.py"]


def test_another_failure_is_no_reproduction(tmp_path):
    (bundle,) = keep(tmp_path, "raise ValueError('odd')")
    (tmp_path / "probe.py").write_text(SOURCE.replace("exec(", "os._exit(4)  # "))
    result = tosip(tmp_path, "replay", bundle)
    assert result.returncode == 1
    assert "fails otherwise: exit status 4" in result.stdout
    tells = "return Result(status=Status.ERROR, message='sorry')  # "
    (tmp_path / "probe.py").write_text(SOURCE.replace("exec(", tells))
    result = tosip(tmp_path, "replay", bundle)
    assert result.returncode == 1
    assert "fails otherwise: status error: sorry" in result.stdout


def test_several_bundles_have_a_row_each(tmp_path):
    found = keep(tmp_path, "raise ValueError('one')", "raise KeyError('two')", "os._exit(5)")
    result = tosip(tmp_path, "replay", *found)
    assert result.returncode == 1
    assert len(re.findall("│ reproduced", result.stdout)) == 3
    assert all(text in result.stdout for text in ("ValueError: one", "KeyError: 'two'", "status 5"))


def test_settings_and_declarations_may_have_changed(tmp_path):
    (bundle,) = keep(tmp_path, "if params.threshold > 5: raise ValueError('above')")
    result = tosip(tmp_path, "replay", bundle, "--set", "threshold=3")
    assert (result.returncode, "works now" in result.stdout) == (0, True)
    (tmp_path / "probe.py").write_text(
        MENDED.replace("    count: int = param", "    more: int = param")
    )
    assert "; without count" in tosip(tmp_path, "replay", bundle).stdout
    (tmp_path / "probe.py").write_text(MENDED.replace("limits=(0.0, 100.0)", "limits=(0.0, 5.0)"))
    line = refused(tosip(tmp_path, "replay", bundle))
    assert "PROBE.threshold: expected at least 0 and at most 5, got 7.5" in line


def test_the_time_of_a_hang_may_be_another(tmp_path):
    (bundle,) = keep(tmp_path, "while True: pass")
    result = tosip(tmp_path, "replay", bundle, "--timeout", "0.3")
    assert "reproduced: no result in 0.3 s" in result.stdout


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    keep(folder, "raise ValueError('odd')")
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    shutil.copytree(kept / "bundles", tmp_path / "bundles")
    image(tmp_path, "image.fits")
    (tmp_path / "a.py").write_text(MENDED)
    (bundle,) = (tmp_path / "bundles" / "PROBE").iterdir()
    return bundle.rename(tmp_path / "b").parent


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["b", "image.fits"], "image.fits: expected a bundle as the others are, got a file"),
        (["a.py", "image.fits", "b"], "image.fits: expected a bundle as the others are"),
        (["b", "nothing"], "nothing: expected a bundle as the others are, got none"),
        (["bundles"], "bundles: expected an image or a bundle, got another folder"),
        (["nowhere/bundle.json"], "nowhere/bundle.json: expected a bundle's file, got No such"),
        (["a.py", "b", "--bundled-code"], "--bundled-code: expected no algorithm beside it"),
        (["a.py", "image.fits", "--bundled-code"], "--bundled-code: expected bundles, got images"),
        (["a.py"], "a.py: expected an image behind it, got none"),
        (["b", "--jobs", "2"], "--jobs: expected images, got bundles"),
        (["b", "--output", "o.csv"], "--output: expected images, got bundles"),
        (["b", "--attribute", "DO"], "--attribute: expected images, got bundles"),
        (["b", "--set", "x=1"], "--set: Probe: expected an input of threshold"),
        (["b", "--python", "no"], "no: expected a Python, got none (--python names one)"),
        (["none.py", "b"], "none.py: expected a file, got none"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, arguments, words):
    assert words in refused(tosip(folder, "replay", *arguments))


def test_damage_is_told_in_one_line(folder):
    file = folder / "b" / "bundle.json"
    plain = json.loads(file.read_text())
    plain["frame"]["dtype"] = "object"
    file.write_text(json.dumps(plain))
    line = refused(tosip(folder, "replay", "b"))
    assert line.startswith("b/bundle.json: frame: image: expected a type of int8")


def test_a_bundle_names_no_other_program_to_run(folder):
    file = folder / "b" / "bundle.json"
    plain = json.loads(file.read_text())
    plain["code"]["interpreter"] = "/bin/sh"
    file.write_text(json.dumps(plain))
    line = refused(tosip(folder, "replay", "a.py", "b"))
    assert line == "/bin/sh: expected a Python, got none (--python names one)"
    assert tosip(folder, "replay", "a.py", "b", "--python", sys.executable).returncode == 0


def test_what_a_bundle_says_does_not_steer_the_terminal(folder):
    file = folder / "b" / "bundle.json"
    plain = json.loads(file.read_text())
    plain["failure"]["error"] = "\x1b[2J[red]odd\r"
    file.write_text(json.dumps(plain))
    result = tosip(folder, "replay", "a.py", "b")
    assert "\\x1b[2J[red]odd\\r" in result.stdout
    assert "\x1b" not in result.stdout


REPLAY = """
import asyncio, sys
from pathlib import Path
from tosip.commands.replay_bundles import replay_bundles

(verdict,) = asyncio.run(replay_bundles([Path("b")], algorithm="a.py"))
print(verdict.words)
print([n for n in ("softioc", "epicsdbbuilder", "p4p", "pvi", "astropy") if n in sys.modules])
"""


def test_replay_loads_no_epics(folder):
    told = python(folder, "-c", REPLAY).stdout.splitlines()
    assert told == ["works now: status ok", "[]"]
