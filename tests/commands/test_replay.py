"""`tosip replay`: an algorithm on stored images."""

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tests.commands.command import ALGORITHM, algorithm, image, python, refused, tosip
from tosip.commands import tables
from tosip.commands.replay import Row, write_table
from tosip.description import Description


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    algorithm(tmp_path)
    for number in (1, 2, 3):
        image(tmp_path, f"im{number}.fits", number, CAMERA=number, EXPTIME=40 / number)
    return tmp_path


IMAGES = ["im1.fits", "im2.fits", "im3.fits"]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_rows_come_in_the_order_of_the_images(folder):
    result = tosip(folder, "replay", "bright.py", *IMAGES, "--output", "out.csv", "--jobs", 2)
    assert (result.returncode, result.stderr) == (0, "")
    assert [row["image"] for row in rows(folder / "out.csv")] == IMAGES
    assert [row["bright"] for row in rows(folder / "out.csv")] == ["1", "2", "3"]
    assert "im3.fits" in result.stdout
    assert "[px]" in result.stdout


def test_csv_and_ecsv_hold_what_was_found(folder):
    options = ["--attribute", "CAMERA", "--attribute", "EXPTIME", "--attribute", "NONE"]
    for name in ("out.csv", "out.ecsv"):
        tosip(folder, "replay", "bright.py", *IMAGES, "--output", name, *options)
    (first, *_) = rows(folder / "out.csv")
    assert first["status"] == "ok"
    assert (first["CAMERA"], first["EXPTIME"], first["NONE"]) == ("1", "40.0", "")
    assert (first["level"], first["line"]) == ("1.0", "[1, 2]")
    table = Table.read(folder / "out.ecsv")
    assert (str(table["bright"].unit), table["bright"].description) == ("px", "Bright pixels")
    assert list(table["bright"]) == [1, 2, 3]
    assert table["NONE"].mask.all()


def test_an_attribute_that_is_an_array_is_a_list_in_every_table(tmp_path):
    description = Description("Bright", "Counts bright pixels.")
    found = [Row("a.fits", "ok", "", attributes={"LINE": np.arange(200)}), Row("b.fits", "ok", "")]

    write_table(tmp_path / "out.csv", description, found, ["LINE"])
    shown = tables.results(description, found, ["LINE"])

    (first, second) = rows(tmp_path / "out.csv")
    assert json.loads(first["LINE"]) == list(range(200))
    assert second["LINE"] == ""
    assert list(shown.columns[1].cells) == [first["LINE"], "-"]


def test_settings_reach_the_algorithm(folder):
    settings = ["threshold=60", "count=0x10", "weights=1,2.5", "fast=no"]
    options = [part for setting in settings for part in ("--set", setting)]
    tosip(folder, "replay", "bright.py", "im1.fits", *options, "--output", "out.csv")
    (row,) = rows(folder / "out.csv")
    assert (row["bright"], row["level"]) == ("0", "56.0")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("threshold", "--set: expected name=value, got threshold"),
        ("treshold=1", "--set: Bright: expected an input of threshold, count, fast"),
        ("threshold=x", "--set threshold: expected a number, got 'x'"),
        ("threshold=101", "--set threshold: expected at least 0"),
        ("threshold=nan", "--set threshold: expected a finite number, got nan"),
        ("count=1.5", "--set count: expected a whole number, got '1.5'"),
        ("fast=maybe", "--set fast: expected yes or no, got 'maybe'"),
        ("weights=1,2,3,4", "--set weights: expected a 1-D array of at most 3 numbers"),
    ],
)
def test_wrong_setting_is_told_in_one_line(folder, setting, words):
    line = refused(tosip(folder, "replay", "bright.py", "im1.fits", "--set", setting))
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.py", "im1.fits"], "no.py: expected a file, got none"),
        (["bright.py", "no.fits"], "no.fits: expected a file, got none"),
        (["bright.py", "im1.fits", "--jobs", "0"], "--jobs: expected at least 1, got 0"),
        (["bright.py", "im1.fits", "--hdu", "a,b"], "--hdu: expected 'all', a number"),
        (["bright.py", "im1.fits", "--timeout", "0"], "--timeout: expected more than 0 s, got 0"),
        (["bright.py", "im1.fits", "--output", "a.txt"], "--output: expected .csv or .ecsv, got a"),
        (["bright.py", "im1.fits", "--output", "no/a.csv"], "--output: no/a.csv: No such file"),
    ],
)
def test_wrong_option_is_told_in_one_line(folder, arguments, words):
    assert words in refused(tosip(folder, "replay", *arguments))


def test_a_folder_that_is_no_bundle_is_told(folder):
    (folder / "frames").mkdir()
    line = refused(tosip(folder, "replay", "bright.py", "frames"))
    assert line == "frames: expected an image or a bundle, got another folder"


@pytest.mark.parametrize("arguments", [["--jobs", "x"], ["--nothing"], []])
def test_options_that_are_none_end_with_status_2(folder, arguments):
    result = tosip(folder, "replay", *arguments)
    assert result.returncode == 2
    assert "tosip replay" in result.stderr
    assert "Traceback" not in result.stderr


def test_several_jobs_of_a_stateful_algorithm_are_refused(folder):
    source = ALGORITHM.replace("    def process", "    stateful = True\n\n    def process")
    algorithm(folder, source)
    line = refused(tosip(folder, "replay", "bright.py", "im1.fits", "--jobs", 2))
    assert line == "--jobs: expected 1, as Bright keeps state, got 2"
    assert tosip(folder, "replay", "bright.py", "im1.fits").returncode == 0


def test_failed_images_have_rows_of_their_own_and_status_1(folder):
    (folder / "bad.fits").write_text("no image")
    image(folder, "raises.fits", DO="raise ValueError('[/red] :bug:')")
    image(folder, "dies.fits", DO="os._exit(4)")
    names = ["bad.fits", "raises.fits", "dies.fits", "im3.fits"]
    result = tosip(folder, "replay", "bright.py", *names, "--output", "out.csv")
    assert (result.returncode, result.stderr.count("Traceback")) == (1, 0)
    found = rows(folder / "out.csv")
    assert [row["status"] for row in found] == ["error", "error", "error", "ok"]
    assert [row["bright"] for row in found] == ["", "", "", "3"]
    assert "bad.fits: expected" in found[0]["message"]
    assert "ValueError: [/red] :bug:" in result.stdout
    assert found[2]["message"] == "worker exit status 4"


def test_algorithm_that_hangs_costs_its_time_out(folder):
    image(folder, "hangs.fits", DO="while True: pass")
    arguments = ["hangs.fits", "im1.fits", "--timeout", "0.5"]
    result = tosip(folder, "replay", "bright.py", *arguments)
    assert result.returncode == 1
    assert "worker no result in 0.5 s" in result.stdout


REPLAY = """
import asyncio, sys
from pathlib import Path
from tosip.commands.replay import replay
from tosip.commands.algorithm_file import program
from tosip.pipeline import supervisor

supervisor.FIRST_DELAY = 0.01
images = [Path(name) for name in sys.argv[1:]]
description, rows = asyncio.run(replay(program("bright.py", None), images))
print([row.status for row in rows], rows[-1].message)
print([name for name in ("softioc", "epicsdbbuilder", "p4p", "pvi") if name in sys.modules])
"""


def test_replay_loads_no_epics(folder):
    told = python(folder, "-c", REPLAY, "im1.fits").stdout.splitlines()
    assert told == ["['ok'] ", "[]"]


def test_algorithm_that_dies_on_every_image_ends(folder):
    image(folder, "dies.fits", DO="os._exit(4)")
    told = python(folder, "-c", REPLAY, *["dies.fits"] * 9).stdout.splitlines()
    assert told[0] == f"{['error'] * 9} worker given up after: exit status 4"


def test_figures_are_those_of_the_algorithm_called_directly(folder):
    from astropy.io import fits

    tosip(folder, "replay", "bright.py", "im2.fits", "--output", "out.ecsv")
    (row,) = Table.read(folder / "out.ecsv")
    assert row["bright"] == np.count_nonzero(fits.getdata(folder / "im2.fits") > 5.0)
    assert math.isclose(row["level"], 1.0)
    assert not set(os.listdir(folder)) - {"bright.py", *IMAGES, "out.ecsv", "__pycache__"}


def test_images_of_a_file_are_chosen_and_each_has_its_row(folder):
    pixels = np.zeros((10, 12), np.int16)
    units = [fits.PrimaryHDU()]
    for number, name in enumerate(("DQ", "SCI", "ERR"), 1):
        pixels.flat[:number] = 50
        units.append(fits.ImageHDU(pixels.copy(), name=name))
    fits.HDUList(units).writeto(folder / "several.fits")
    found = {}
    for hdu in ("", "ERR", "1", "all", "SKY"):
        options = [
            *(["--hdu", hdu] if hdu else []),
            "--output",
            "out.csv",
            "--attribute",
            "EXTNAME",
        ]
        tosip(folder, "replay", "bright.py", "several.fits", "im1.fits", *options)
        found[hdu] = [(r["image"], r["bright"], r["EXTNAME"]) for r in rows(folder / "out.csv")]
    assert found[""] == [("several.fits", "2", "SCI"), ("im1.fits", "1", "")]
    assert found["ERR"][0] == ("several.fits", "3", "ERR")
    assert found["1"][0] == ("several.fits", "1", "DQ")
    assert found["all"] == [
        ("several.fits[1]", "1", "DQ"),
        ("several.fits[2]", "2", "SCI"),
        ("several.fits[3]", "3", "ERR"),
        ("im1.fits", "1", ""),
    ]
    assert found["SKY"][0] == ("several.fits", "", "")
