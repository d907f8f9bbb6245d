"""A worker's interpreter needs NumPy, and nothing else of ours."""

import ast
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest

import tosip
from tests.pipeline.rig import SOURCE, plugin_rig, probe, run

PACKAGE = Path(tosip.__file__).parent
WORKER_SIDE = [
    *(
        PACKAGE / f"{name}.py"
        for name in ["__init__", "algorithm", "description", "errors", "names", "reading"]
    ),
    *(PACKAGE / "pipeline").glob("worker/*.py"),
    *(PACKAGE / "pipeline" / f"{name}.py" for name in ("__init__", "protocol", "socketpair")),
]
TELL = """
mine = {name.split('.')[0] for name in sys.modules}
mods = sorted(name for name in sys.modules if name.split('.')[0] == 'tosip')
import importlib.util
found = [m for m in ('softioc', 'pvi', 'p4p', 'astropy', 'scipy', 'pydantic') if m in mine
         or importlib.util.find_spec(m)]
result = Result(Figures(), attributes={'FOUND': str(found), 'PYTHON': sys.version.split()[0],
    'MODULES': ' '.join(mods)})
"""


@pytest.mark.parametrize("path", WORKER_SIDE, ids=lambda path: path.name)
def test_worker_side_is_python_3_9(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with NumPy and no other package, not even pip or tosip."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    numpy = Path(np.__file__).parent
    for part in (numpy, numpy.with_name("numpy.libs")):
        if part.exists():
            (packages / part.name).symlink_to(part)
    return folder / "bin" / "python"


def test_worker_runs_in_a_bare_environment(bare_python, tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, interpreter=bare_python)) as rig:
            outcome = await rig.process(TELL)
            assert outcome.message == ""
            attributes = rig.published[0].attributes
            assert attributes["FOUND"] == "[]"
            modules = {PACKAGE.parent / (m.replace(".", "/")) for m in _words(attributes)}
            allowed = {path.with_suffix("") for path in WORKER_SIDE}
            packages = {path.parent for path in allowed if path.name == "__init__"}
            assert modules <= allowed | packages

    run(work())


def _words(attributes):
    return str(attributes["MODULES"]).split()


def test_environment_without_numpy_is_told_in_one_line(tmp_path):
    folder = tmp_path / "empty"
    venv.create(folder, with_pip=False, symlinks=True)

    async def work():
        with pytest.raises(RuntimeError, match="No module named 'numpy'"):
            async with plugin_rig(probe(tmp_path, interpreter=folder / "bin" / "python")):
                pass

    run(work())


def _python_3_9() -> Path:
    names = [shutil.which("python3.9"), *Path.home().glob(".pyenv/versions/3.9.*/bin/python")]
    for name in map(str, filter(None, names)):
        if _runs(name, "import sys; assert sys.version_info[:2] == (3, 9); import numpy"):
            return Path(name)
    pytest.skip("no Python 3.9 with NumPy is here")


def _runs(python: str, code: str) -> bool:
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def test_worker_runs_in_python_3_9(tmp_path):
    python = _python_3_9()
    source = "from __future__ import annotations\n" + SOURCE

    async def work():
        async with plugin_rig(probe(tmp_path, source, interpreter=python)) as rig:
            assert (await rig.process(TELL)).message == ""
            assert str(rig.published[0].attributes["PYTHON"]).startswith("3.9.")

    run(work())


def test_worker_does_not_need_what_conda_pythons_lack(tmp_path):
    # They have no os.memfd_create: a worker must still make images and send long messages.
    source = "import os\ndel os.memfd_create\n" + SOURCE
    code = "result = Result(Figures(), image=np.ones((3, 3)), attributes={'LONG': 'x' * 100_000})"

    async def work():
        async with plugin_rig(probe(tmp_path, source)) as rig:
            assert (await rig.process(code)).message == ""
            assert (rig.published[0].pixels == 1).all()

    run(work())


def test_file_named_like_a_module_of_python_is_refused(tmp_path):
    program = probe(tmp_path)
    clash = tmp_path / "json.py"
    clash.write_text(SOURCE)
    from dataclasses import replace

    async def work():
        with pytest.raises(RuntimeError, match=r"json\.py: expected a name that is no Python"):
            async with plugin_rig(replace(program, file=clash)):
                pass

    run(work())


def test_modules_beside_the_file_are_found(tmp_path):
    (tmp_path / "beside.py").write_text("ANSWER = 42\n")

    async def work():
        async with plugin_rig(probe(tmp_path, "from beside import ANSWER\n" + SOURCE)) as rig:
            outcome = await rig.process("result = Figures(number=ANSWER)")
            assert outcome.outputs is not None
            assert outcome.outputs["number"] == 42

    run(work())


def test_algorithm_may_use_multiprocessing_by_fork_and_spawn(tmp_path):
    helper = "def double(x):\n    return 2 * x\n"
    (tmp_path / "helper.py").write_text(helper)
    code = """
import multiprocessing
totals = []
for way in ('fork', 'spawn'):
    with multiprocessing.get_context(way).Pool(1) as workers:
        totals += workers.map(double, [1, 2])
result = Result(Figures(), attributes={'TOTALS': str(totals)})
"""

    async def work():
        source = "from helper import double\n" + SOURCE
        async with plugin_rig(probe(tmp_path, source), process_timeout=30.0) as rig:
            outcome = await rig.process(code)
            assert outcome.message == ""
            assert json.loads(str(rig.published[0].attributes["TOTALS"])) == [2, 4, 2, 4]

    run(work())


def test_environment_of_safe_paths_does_not_lose_a_path(tmp_path, monkeypatch):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "on_path.py").write_text("ANSWER = 42\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "extra"))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert os.environ["PYTHONPATH"]

    async def work():
        async with plugin_rig(probe(tmp_path, "import on_path\n" + SOURCE)) as rig:
            assert not (await rig.process()).failed

    run(work())
