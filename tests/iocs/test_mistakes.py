"""What a user did wrong: one line on stderr that names it, exit status 2, no traceback."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

RAISING = "raise RuntimeError('broken on purpose')\n"
UNDECLARED = "x = 1\n"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tosip.iocs.neosted", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def expect_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def config(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "neosted.toml"
    path.write_text("[gateway]\nport = 0\n" + text)
    return ["--simulate", "--cameras", "1", "--var", str(tmp_path / "var"), "--config", str(path)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--config", "none.toml"], "none.toml"),
        (["--cameras", "0"], "--cameras"),
        (["--cameras", "17"], "--cameras"),
        (["--cameras", "x"], "--cameras"),
        (["--prefix", "NOCOLON"], "--prefix"),
        (["--prefix", "a blank:"], "--prefix"),
        (["--nonsense"], "--nonsense"),
        ([], "gateway.users"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, arguments, word):
    expect_one_line(run(*arguments, cwd=tmp_path), word)


def test_simulated_cameras_that_cannot_log_in_are_named(tmp_path):
    words = config(tmp_path, "[gateway.tls]\ncertificate = 'gateway.pem'\nrequired = true\n")

    expect_one_line(run(*words, cwd=tmp_path), "--simulate", "gateway.tls.required")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    expect_one_line(run("--simulate", "--var", "file/var", cwd=tmp_path), "--var", "file/var")


def test_a_log_folder_that_is_none_is_named(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "log").write_text("")

    expect_one_line(run("--simulate", cwd=tmp_path), "--var")


def test_a_prefix_too_long_for_epics_is_named(tmp_path):
    prefix = "X" * 50 + ":"

    done = run(*config(tmp_path, ""), "--prefix", prefix, cwd=tmp_path)

    expect_one_line(done, f"tosip: --prefix: {prefix}", "60")


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = tmp_path / "neosted.toml"
        path.write_text(f"[gateway]\nport = {port}\n")

        done = run("--simulate", "--cameras", "1", "--config", str(path), cwd=tmp_path)

    expect_one_line(done, str(port))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RAISING, ("broken.py", "broken on purpose")),
        (UNDECLARED, ("broken.py", "expected one Algorithm")),
        ("def :\n", ("broken.py", "SyntaxError")),
    ],
)
def test_a_broken_algorithm_file_is_named(tmp_path, text, words):
    (tmp_path / "broken.py").write_text(text)

    done = run(*config(tmp_path, "[focus]\nfile = 'broken.py'\n"), cwd=tmp_path)

    expect_one_line(done, *words)


def test_a_late_mistake_names_the_file_and_the_key(tmp_path):
    done = run(*config(tmp_path, "[field]\nthreads = 2\n"), cwd=tmp_path)

    expect_one_line(done, "neosted.toml: field.threads: expected 1, as Field keeps state, got 2")
