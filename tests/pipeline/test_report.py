"""What is reported of an exception: the cause and its place in the user's file come first."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tosip import Outputs, output
from tosip.pipeline.worker.code import OwnModules, Source
from tosip.pipeline.worker.report import LONGEST_LINE, LONGEST_REPORT, report


class Figures(Outputs):
    total: float = output("Sum")


def raised(file: Path, text: str) -> str:
    """Report what `text`, the user's file, raises."""
    file.write_text(text)
    try:
        exec(compile(text, str(file), "exec"), {"np": np, "Figures": Figures})
    except BaseException as error:  # noqa: BLE001
        return report(error, {str(file)})
    raise AssertionError("nothing was raised")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.py"


MODULE = f"ModuleNotFoundError: No module named 'nothing_such' in {sys.executable}"
CAUSES = {
    "raise ValueError('no flat of 12')": "ValueError: no flat of 12 (mine.py:1)",
    "\nraise KeyError('FILTER')": "KeyError: 'FILTER' (mine.py:2)",
    "raise ValueError": "ValueError (mine.py:1)",
    "assert 1 > 2": "AssertionError (mine.py:1)",
    "raise ValueError('\\n one\\ntwo ')": "ValueError: one (mine.py:1)",
    "raise SystemExit(3)": "SystemExit: 3 (mine.py:1)",
    # NumPy raises, the user's line has called it.
    "x = 1\nnp.linalg.inv(np.zeros((2, 2)))": "LinAlgError: Singular matrix (mine.py:2)",
    "import nothing_such": f"{MODULE} (mine.py:1)",
    "exec('x = (')": "SyntaxError: '(' was never closed (mine.py:1)",
    "raise SyntaxError('odd', ('other.py', 7, 3, 'x'))": "SyntaxError: odd (other.py:7:3)",
    "class E(Exception):\n    def __str__(self):\n        raise KeyError\nraise E": "E (mine.py:4)",
    "class E(Exception):\n    def __str__(self):\n        return 5\nraise E": "E (mine.py:4)",
    "def f():\n    f()\nf()": "RecursionError: maximum recursion depth exceeded (mine.py:2)",
    # TOSIP's own module raises, the user's line has asked for it.
    "\nFigures(totl=1)": (
        "AttributeError: Figures.totl: expected an output of total, got totl (mine.py:2)"
    ),
}


@pytest.mark.parametrize(("text", "cause"), CAUSES.items())
def test_the_cause_and_its_place_come_first(mine, text, cause):
    assert raised(mine, text).splitlines()[0] == cause


def test_the_traceback_follows_without_tosips_frames(mine):
    cause, trace, place, *_, last = raised(mine, "\nFigures(totl=1)").splitlines()

    assert trace == "Traceback (most recent call last):"
    assert re.fullmatch(f'  File "{__file__}", line \\d+, in raised', place)
    assert last == cause.removesuffix(" (mine.py:2)")
    assert "algorithm.py" not in raised(mine, "\nFigures(totl=1)")


def test_causes_follow_the_error_that_was_raised_last(mine):
    text = (
        "try:\n    {}['a']\nexcept KeyError as e:\n    raise OSError('no table') from e\n",
        "try:\n    {}['a']\nexcept KeyError:\n    raise OSError('no table')\n",
        "try:\n    {}['a']\nexcept KeyError:\n    raise OSError('no table') from None\n",
    )
    links = [raised(mine, each).splitlines()[:2] for each in text]

    assert all(first == "OSError: no table (mine.py:4)" for first, _ in links)
    assert links[0][1] == "caused by KeyError: 'a' (mine.py:2)"
    assert links[1][1] == "while handling KeyError: 'a' (mine.py:2)"
    assert links[2][1].startswith("Traceback")


def test_a_circle_of_causes_ends(mine):
    text = "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a"

    assert raised(mine, text).splitlines()[:2] == [
        "ValueError: a (mine.py:3)",
        "caused by ValueError: b",
    ]


def test_a_chain_of_causes_that_is_too_long_for_a_traceback_keeps_its_cause(mine):
    link = "f = ValueError(n); f.__cause__ = e; e = f"
    text = f"e = None\nfor n in range(5000):\n    {link}\nraise e"

    assert raised(mine, text).startswith(
        "ValueError: 4999 (mine.py:4)\ncaused by ValueError: 4998\n"
    )


def test_members_of_a_group_are_told(mine):
    text = "raise ExceptionGroup('two', [ValueError('a'), ExceptionGroup('in', [KeyError('b')])])"

    assert raised(mine, text).splitlines()[:4] == [
        "ExceptionGroup: two (2 sub-exceptions) (mine.py:1)",
        "  ValueError: a",
        "  ExceptionGroup: in (1 sub-exception)",
        "  KeyError: 'b'",
    ]


def test_of_a_long_report_the_beginning_is_kept_with_the_place(mine):
    told = raised(mine, "raise ValueError('x' * 100_000)")

    assert len(told) == LONGEST_REPORT
    assert (
        told.splitlines()[0]
        == ("ValueError: " + "x" * LONGEST_LINE)[:LONGEST_LINE] + " (mine.py:1)"
    )


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"x = 1\ndef :\n", r"SyntaxError: invalid syntax \(mine\.py:2:5\)"),
        (b"x = 1\ny = '\xe9'\n", r"SyntaxError: expected text, .*0xe9.* \(mine\.py:2\)"),
        (b"# coding: nonsense\n", r"SyntaxError: .*nonsense.* \(mine\.py:1.*\)"),
        (
            b"x = 1\n\0\n",
            r"SyntaxError: source code string cannot contain null bytes \(mine\.py:2\)",
        ),
        (b"if x:\ny = 1\n", r"IndentationError: expected an indented block .*\(mine\.py:2:1\)"),
    ],
)
def test_a_file_that_is_no_python_is_named_with_the_line(mine, data, cause):
    mine.write_bytes(data)
    modules = OwnModules(str(mine), {}, lambda _source: None)
    try:
        spec = modules.main("mine")
        assert spec is not None
        assert isinstance(spec.loader, Source)
        spec.loader.exec_module(type(sys)("mine"))
    except SyntaxError as error:
        told = report(error, modules.files())
    assert re.fullmatch(cause, told.splitlines()[0])
    assert "tosip/pipeline" not in told
