"""A worker's interpreter needs NumPy, and nothing else of ours: CPython 3.9 or newer, or PyPy.

Environments with other interpreters are made once, with NumPy from the index, and kept in pytest's
cache. Where the interpreter or the index is missing their tests are skipped, and say which.
"""

import ast
import contextlib
import json
import math
import os
import shutil
import subprocess
import tempfile
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tosip
from tests.interpreters import find_interpreter, runs
from tests.pipeline.rig import SOURCE, plugin_rig, probe, run

PACKAGE = Path(tosip.__file__).parent
WORKER_SIDE = [
    *(
        PACKAGE / f"{name}.py"
        for name in (
            *("__init__", "algorithm", "description", "errors", "names", "reading"),
            *("signals", "sizes", "texts", "type_hints"),
        )
    ),
    *(PACKAGE / "pipeline").glob("worker/*.py"),
    *(
        PACKAGE / "pipeline" / f"{name}.py"
        for name in ("__init__", "attributes", "protocol", "socketpair")
    ),
]
pytestmark = pytest.mark.timeout(300)  # to make an environment takes minutes on a slow machine
ENVIRONMENTS = {
    "oldest": ("numpy==1.22.4", ("python3.9", "python3.10")),
    "python3.9": ("numpy", ("python3.9",)),
    "python3.12": ("numpy", ("python3.12",)),
    "python3.13": ("numpy", ("python3.13",)),
    "python3.14": ("numpy", ("python3.14",)),
    "pypy": ("numpy", ("pypy3",)),
}
VERSIONS = {
    "bare": ("CPython", np.__version__),
    "oldest": ("CPython 3.", "1.22."),
    "python3.9": ("CPython 3.9.", ""),
    "python3.12": ("CPython 3.12.", ""),
    "python3.13": ("CPython 3.13.", ""),
    "python3.14": ("CPython 3.14.", ""),
    "pypy": ("PyPy", ""),
}
PIP = ["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
PIP += ["--only-binary=:all:", "--timeout=5", "--retries=1"]

# The rig's algorithm, with inputs and outputs of every kind.
EVERY_KIND = SOURCE.replace(
    "class Figures(Outputs):",
    """    on: bool = param("On", default=True)
    word: str = param("Word", default="Öffnung")

class Figures(Outputs):
    seen_band: Band = output("Band", default=Band.BLUE)
    seen_on: bool = output("On", default=False)
    seen_word: str = output("Word", default="")
""",
)
ECHO = """
import platform
figures = Figures(total=np.float32(params.threshold), number=np.int64(params.count),
    line=params.weights.astype(int), seen_band=params.band, seen_on=np.bool_(params.on),
    seen_word=params.word)
result = Result(figures, attributes={
    'KINDS': ' '.join(type(value).__name__ for value in vars(params).values()),
    'PYTHON': f'{platform.python_implementation()} {platform.python_version()}',
    'NUMPY': np.__version__})
"""
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
    return Path(folder) / "bin" / "python"


@pytest.fixture(scope="module", params=["bare", *ENVIRONMENTS])
def interpreter(request: pytest.FixtureRequest, bare_python: Path) -> Path:
    """The interpreter of each environment in turn."""
    if request.param == "bare":
        return bare_python
    requirement, names = ENVIRONMENTS[request.param]
    cache = getattr(request.config, "cache", None)
    if cache is None:
        pytest.skip("pytest's cache is turned off, and environments are kept there")
    folder = cache.mkdir("environments") / f"{request.param}-{requirement}"
    if not runs(folder / "bin" / "python", "import numpy"):
        python = find_interpreter(*names)
        if python is None:
            pytest.skip(f"no {' or '.join(names)} that can make environments is here")
        _make_environment(folder, python, requirement)
    return Path(folder / "bin" / "python")


def _make_environment(folder: Path, python: str, requirement: str) -> None:
    """Make it beside its place, so that what stands there is complete, whoever else makes one."""
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as beside:
        new = Path(beside) / "new"
        for command in ([python, "-m", "venv", f"{new}"], [f"{new}/bin/python", *PIP, requirement]):
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
            except subprocess.TimeoutExpired:
                pytest.skip(f"{python} did not get {requirement} from the index in 240 s")
            except subprocess.CalledProcessError as error:
                said = (error.stderr.strip().splitlines() or ["nothing"])[-1]
                pytest.skip(f"{python} could not get {requirement}: {said}")
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another session was quicker
            new.rename(folder)


def test_values_of_every_kind_keep_their_types(interpreter, tmp_path, request):
    async def work():
        async with plugin_rig(probe(tmp_path, EVERY_KIND, interpreter=interpreter)) as rig:
            outcome = await rig.process(ECHO)
            assert outcome.message == ""
            assert outcome.outputs is not None
            outputs = dict(outcome.outputs)
            assert outputs.pop("line").tolist() == [1, 1]
            assert outputs == {
                "total": 1.0,
                "number": 3,
                "unknown": pytest.approx(math.nan, nan_ok=True),
                "seen_band": "red",
                "seen_on": True,
                "seen_word": "Öffnung",
            }
            attributes = rig.published[0].attributes
            assert attributes["KINDS"] == "float int Band ndarray bool bool str"
            python, numpy = VERSIONS[request.node.callspec.params["interpreter"]]
            assert str(attributes["PYTHON"]).startswith(python)
            assert str(attributes["NUMPY"]).startswith(numpy)

    run(work())


def test_images_are_shared_onward(interpreter, tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, interpreter=interpreter)) as rig:
            for code in (
                "new = image.T * np.float64(2.5)",
                "new = self.new_image((5, 4), np.float64); new[:] = 2.5",
            ):
                outcome = await rig.process(f"{code}; result = Result(Figures(), image=new)")
                assert outcome.message == ""
                image = rig.published[-1]
                assert (image.shape, image.dtype) == ((5, 4), "float64")
                assert (image.pixels == 2.5).all()

    run(work())


def test_images_that_are_done_do_not_pile_up(interpreter, tmp_path):
    code = """
files = len(os.listdir('/proc/self/fd'))
result = Result(Figures(number=files), image=self.new_image((9, 9), 'u1'))
"""

    async def work():
        async with plugin_rig(probe(tmp_path, interpreter=interpreter)) as rig:
            files = []
            for _ in range(200):
                assert (await rig.process(code)).message == ""
                files.append(int(rig.published.pop().attributes["Number"]))
            assert max(files) < 150  # PyPy gives back what is done a hundred at a time

    run(work())


def test_error_is_told_with_its_line(interpreter, tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, interpreter=interpreter)) as rig:
            outcome = await rig.process("image[0, 0] = 1")
            assert outcome.failed
            assert f'"{tmp_path / "probe.py"}", line' in outcome.message
            assert "ValueError: assignment destination is read-only" in outcome.message
            assert not (await rig.process()).failed  # and the worker lives on

    run(work())


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


def test_worker_does_not_need_what_conda_pythons_lack(tmp_path):
    # They have no os.memfd_create: a worker must still make images and send long messages.
    source = "import os\ndel os.memfd_create\n" + SOURCE
    code = "result = Result(Figures(), image=np.ones((3, 3)), attributes={'LONG': 'x' * 100_000})"

    async def work():
        async with plugin_rig(probe(tmp_path, source)) as rig:
            assert (await rig.process(code)).message == ""
            assert (rig.published[0].pixels == 1).all()

    run(work())


@pytest.mark.parametrize("name", ["json", "wave"])  # imported already, and not
def test_file_named_like_a_module_of_python_is_refused(name, interpreter, tmp_path):
    program = probe(tmp_path, interpreter=interpreter)
    clash = tmp_path / f"{name}.py"
    clash.write_text(SOURCE)

    async def work():
        with pytest.raises(RuntimeError, match=rf"{name}\.py: expected a name that is no Python"):
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
