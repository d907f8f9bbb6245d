"""`tosip check` and `tosip new`: an algorithm before it runs."""

import sys

import pytest

from tests.commands.command import ALGORITHM, algorithm, python, refused, tosip
from tests.interpreters import find_interpreter

TWO = ALGORITHM + "\n\nclass Second(Bright):\n    '''The second.'''\n"


def test_check_shows_the_records(tmp_path):
    algorithm(tmp_path)
    result = tosip(tmp_path, "check", "bright.py")
    assert (result.returncode, result.stderr) == (0, "")
    for text in (
        "Bright: Counts bright pixels.",
        "Threshold_RBV",
        "Threshold [counts]",
        "at least 0 and at most 100",
        "Bright_RBV",
        "int16 x 3",
        "Again",
    ):
        assert text in result.stdout
    assert "Again_RBV" not in result.stdout


def test_check_of_one_of_several_classes(tmp_path):
    algorithm(tmp_path, TWO)
    assert "Second: The second." in tosip(tmp_path, "check", "bright.py:Second").stdout
    line = refused(tosip(tmp_path, "check", "bright.py"))
    assert line == (
        "bright.py: expected one Algorithm, or bright.py:CLASS (class_name in a configuration), "
        "got Bright, Second"
    )
    assert "expected class Third" in refused(tosip(tmp_path, "check", "bright.py:Third"))


BROKEN = {
    "syntax": (ALGORITHM + "\ndef broken(:\n", "bright.py: import: SyntaxError: "),
    "import": ("import nothing_such\n" + ALGORITHM, "No module named 'nothing_such' in "),
    "multi-line": (
        "raise ValueError('one\\ntwo')",
        "bright.py: import: ValueError: one (bright.py:1)",
    ),
    "no class": ("x = 1", "bright.py: expected one Algorithm, got none"),
    "declaration": (
        ALGORITHM.replace('"Level"', '""'),
        "Figures.level: expected documentation, got none",
    ),
    "exit": ("import os; os._exit(3)", "bright.py: expected a file that loads, got exit status 3"),
}


@pytest.mark.parametrize(("source", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_file_is_told_in_one_line(tmp_path, source, words):
    algorithm(tmp_path, source)
    assert words in refused(tosip(tmp_path, "check", "bright.py"))


def test_all_faults_of_a_declaration_are_told(tmp_path):
    algorithm(tmp_path, ALGORITHM.replace('"Level"', '""').replace('"Count"', '""'))
    result = tosip(tmp_path, "check", "bright.py")
    assert result.returncode == 2
    assert result.stderr == (
        "tosip: bright.py: Params.count: expected documentation, got none\n"
        "bright.py: Figures.level: expected documentation, got none\n"
    )


def test_missing_file_and_interpreter_are_told(tmp_path):
    assert refused(tosip(tmp_path, "check", "no.py")) == "no.py: expected a file, got none"
    algorithm(tmp_path)
    line = refused(tosip(tmp_path, "check", "bright.py", "--python", "no/python"))
    assert line == "--python: expected a file, got none at no/python"
    line = refused(tosip(tmp_path, "check", "bright.py", "--python", "bright.py"))
    got = f"{tmp_path}/bright.py (could not start: Permission denied)"
    assert line == f"--python: expected Python 3.9 or newer with NumPy, got {got}"


def test_a_python_that_is_too_old_is_told(tmp_path):
    old = find_interpreter("python3.8", "python3.7")
    if old is None:
        pytest.skip("no Python 3.7 or 3.8 on this machine")
    algorithm(tmp_path)
    line = refused(tosip(tmp_path, "check", "bright.py", "--python", old))
    assert line.startswith(f"--python: expected Python 3.9 or newer with NumPy, got {old} (exit")
    assert "1: Python 3." in line


def test_command_ends_with_the_status(tmp_path):
    algorithm(tmp_path)
    assert python(tmp_path, "-m", "tosip.cli", "check", "bright.py").returncode == 0
    result = python(tmp_path, "-m", "tosip.cli", "check", "no.py")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "tosip: no.py: expected a file, got none\n"


def test_new_algorithm_passes_its_own_test_and_check(tmp_path):
    made = tosip(tmp_path, "new", "count_stars")
    assert made.stdout == "wrote count_stars.py\nwrote test_count_stars.py\n"
    tested = python(tmp_path, "-m", "pytest", "-q", "test_count_stars.py")
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    checked = tosip(tmp_path, "check", "count_stars.py", "--python", sys.executable)
    assert "CountStars: Counts bright pixels." in checked.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CountStars", "NAME: expected a name in snake_case, got CountStars"),
        ("../x", "NAME: expected a name in snake_case"),
        ("class", "NAME: expected a name that Python does not use, got class"),
        ("numpy", "NAME: expected a name that Python does not use, got numpy"),
        ("params", "NAME: expected a name that Python does not use, got params"),
        ("taken", "taken.py: expected no such file, but there is one"),
    ],
)
def test_name_that_cannot_be_is_refused(tmp_path, name, words):
    (tmp_path / "taken.py").write_text("mine")
    assert words in refused(tosip(tmp_path, "new", name))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.py"]
