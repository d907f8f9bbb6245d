"""Code that is imported only when it is needed: watched, hashed and kept as text all the same."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.pipeline.rig import SOURCE, Rig, plugin_rig, probe, run
from tests.pipeline.test_reload import number, status

LATE = SOURCE.replace("scope = dict", "import helper; scope = dict").replace(
    "Figures(total=", "Figures(number=helper.NUMBER, total="
)


def late(statement: str, value: str = "helper.NUMBER") -> str:
    return LATE.replace("import helper;", f"{statement};").replace("helper.NUMBER", value)


async def killed(rig: Rig) -> None:
    """Kill the worker from outside and wait for its successor."""
    first = rig.plugin.workers.pid
    os.kill(first, signal.SIGKILL)
    await rig.until(lambda: rig.plugin.workers.pid not in (0, first))


def test_helper_that_process_imports_is_hashed_and_reloads_and_runs_on_after_a_crash(tmp_path):
    helper = tmp_path / "helper.py"

    async def work():
        helper.write_text("NUMBER = 1")
        async with plugin_rig(probe(tmp_path, LATE)) as rig:
            before = rig.plugin.workers.code_hash
            assert await number(rig) == 1
            first = rig.plugin.workers.code_hash
            assert first != before
            assert rig.published[-1].attributes["CodeHash"] == first
            helper.write_text("NUMBER = 2")
            await status(rig, "loaded")
            assert await number(rig) == 2
            second = rig.plugin.workers.code_hash
            assert second not in (before, first)
            helper.write_text("NUMBER = (")
            await status(rig, "not loaded")
            await killed(rig)
            assert await number(rig) == 2
            assert rig.plugin.workers.code_hash == second

    run(work())


def test_restarted_worker_runs_the_late_text_although_the_file_has_changed(tmp_path):
    async def work():
        (tmp_path / "helper.py").write_text("NUMBER = 1")
        async with plugin_rig(probe(tmp_path, LATE)) as rig:
            rig.plugin.reloader.automatic = False
            assert await number(rig) == 1
            before = rig.plugin.workers.code_hash
            (tmp_path / "helper.py").unlink()
            await killed(rig)
            assert await number(rig) == 1
            assert rig.plugin.workers.code_hash == before

    run(work())


def test_late_helper_that_the_last_frame_does_not_need_is_checked_nevertheless(tmp_path):
    seldom = SOURCE.replace(
        "scope = dict",
        "number = attributes.get('LATE') and __import__('helper').NUMBER\n        scope = dict",
    ).replace("Figures(total=", "Figures(number=number or 0, total=")

    async def work():
        (tmp_path / "helper.py").write_text("NUMBER = 1")
        async with plugin_rig(probe(tmp_path, seldom)) as rig:
            assert ((await rig.process(LATE=1)).outputs or {})["number"] == 1
            assert await number(rig) == 0
            (tmp_path / "helper.py").write_text("NUMBER = (")
            assert "helper.py" in await status(rig, "not loaded")
            (tmp_path / "helper.py").write_text("NUMBER = 3")
            await rig.until(lambda: rig.plugin.reloader.status.startswith("loaded"))
            (tmp_path / "helper.py").unlink()
            await killed(rig)
            assert ((await rig.process(LATE=1)).outputs or {})["number"] == 3

    run(work())


KINDS = {
    "import_module": ("import importlib", "importlib.import_module('helper').NUMBER", "helper.py"),
    "package": ("import kit", "kit.NUMBER", "kit/__init__.py"),
    "module of a package": ("import kit.inner", "kit.inner.NUMBER", "kit/inner.py"),
    "relative": ("import kit.outer", "kit.outer.NUMBER", "kit/inner.py"),
    "namespace": ("import space.deep.inner", "space.deep.inner.NUMBER", "space/deep/inner.py"),
    "folder on the path": (
        "sys.path.append(os.path.join(os.path.dirname(__file__), 'lib')); import inner",
        "inner.NUMBER",
        "lib/inner.py",
    ),
    "thread": (
        "import threading; t = threading.Thread(target=__import__, args=['helper']); t.start(); "
        "t.join()",
        "sys.modules['helper'].NUMBER",
        "helper.py",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_way_a_module_is_imported(tmp_path, kind):
    statement, value, file = KINDS[kind]
    changed = tmp_path / file
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "__init__.py").touch()
    (tmp_path / "kit" / "outer.py").write_text("from .inner import NUMBER")
    changed.parent.mkdir(exist_ok=True, parents=True)
    changed.write_text("NUMBER = 1")

    async def work():
        async with plugin_rig(probe(tmp_path, late(statement, value))) as rig:
            before = rig.plugin.workers.code_hash
            assert await number(rig) == 1
            assert rig.plugin.workers.code_hash != before
            changed.write_text("NUMBER = 2")
            await status(rig, "loaded")
            assert await number(rig) == 2
            rig.plugin.reloader.automatic = False
            shutil.rmtree(changed.parent) if changed.parent != tmp_path else changed.unlink()
            await killed(rig)
            assert await number(rig) == 2

    run(work())


def test_workers_of_a_plugin_share_what_one_of_them_has_imported(tmp_path):
    async def work():
        (tmp_path / "helper.py").write_text("NUMBER = 1")
        (tmp_path / "other.py").write_text("")
        async with plugin_rig(probe(tmp_path, LATE), threads=2) as rig:
            await rig.until(lambda: len(rig.plugin.workers.pids) == 2)
            rig.plugin.reloader.automatic = False
            one, other = rig.plugin.workers._supervisors
            await rig.process()
            assert set(rig.plugin.workers.code.modules) == {"probe", "helper"}
            (tmp_path / "helper.py").write_text("NUMBER = 2")
            one._swapping = True  # the other one has the next frame
            assert await number(rig) == 1
            assert other.code is one.code

    run(work())


def test_worker_that_read_another_text_is_replaced_and_its_frame_is_seen_again(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, SOURCE)) as rig:
            module = {"file": str(tmp_path / "helper.py"), "package": False, "text": "NUMBER = 1"}
            (tmp_path / "helper.py").write_text("NUMBER = 2")
            rig.plugin.reloader.automatic = False
            rig.plugin.workers.code._put("helper", module)  # as if another had just found it
            outcome = await rig.process("import helper; result = Figures(number=helper.NUMBER)")
            assert (outcome.outputs or {})["number"] == 1
            assert "changed between" in rig.plugin.workers.last_exit

    run(work())


def test_broken_import_of_newer_code_is_mended_where_it_is_broken(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, SOURCE)) as rig:
            (tmp_path / "kit").mkdir()
            (tmp_path / "kit" / "inner.py").write_text("1 / 0")
            (tmp_path / "probe.py").write_text("import kit.inner\n" + SOURCE)
            await status(rig, "ZeroDivisionError")
            (tmp_path / "kit" / "inner.py").write_text("1 / 1")
            await rig.until(lambda: rig.plugin.reloader.status.startswith("loaded"))

    run(work())


def test_resources_of_a_package_are_read(tmp_path):
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "__init__.py").touch()
    (tmp_path / "kit" / "number.txt").write_text("7")
    reading = "int(importlib.resources.files('kit').joinpath('number.txt').read_text())"

    async def work():
        async with plugin_rig(probe(tmp_path, late("import importlib.resources", reading))) as rig:
            assert await number(rig) == 7

    run(work())


def link(target: Path, name: Path) -> None:
    """Let a link lead elsewhere, at once."""
    made = name.with_name("made")
    made.symlink_to(target)
    made.rename(name)


def test_links_that_lead_to_another_version_reload(tmp_path):
    """As Kubernetes mounts a ConfigMap: each file leads through a link to a folder."""
    mounted = tmp_path / "mounted"
    for version in (1, 2):
        folder = mounted / f"..{version}"
        folder.mkdir(parents=True)
        (folder / "probe.py").write_text(LATE)
        (folder / "helper.py").write_text(f"NUMBER = {version}")
    link(Path("..1"), mounted / "..data")
    for name in ("probe.py", "helper.py"):
        (mounted / name).symlink_to(f"..data/{name}")

    async def work():
        program = probe(tmp_path, LATE)
        object.__setattr__(program, "file", mounted / "probe.py")
        async with plugin_rig(program) as rig:
            assert await number(rig) == 1
            link(Path("..2"), mounted / "..data")
            shutil.rmtree(mounted / "..1")
            await status(rig, "loaded")
            assert await number(rig) == 2

    run(work())
