"""Files whose change is hard to see, and data files that an algorithm names."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.pipeline.rig import SOURCE, plugin_rig, probe, run
from tests.pipeline.test_reload import NUMBER, number, status, version
from tosip.pipeline import reload

READS = SOURCE.replace(
    "    def process(",
    "    watch = WATCH\n\n    def start(self):\n"
    "        folder = os.path.dirname(os.path.abspath(__file__))\n"
    "        import glob, json\n"
    "        files = [os.path.join(folder, 'cal.json')] + sorted(\n"
    "            glob.glob(os.path.join(folder, 'flats', '*')))\n"
    "        self.number = sum(json.load(open(f)) for f in files if os.path.exists(f))\n\n"
    "    def process(",
).replace("Figures(total=", "Figures(number=self.number, total=")


def rewrite(file: Path, text: str) -> None:
    """Write in place, and put size and time of modification back."""
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_rewrite_that_keeps_size_and_time_reloads(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            assert await number(rig) == 1
            rewrite(tmp_path / "probe.py", version(2))
            await status(rig, "loaded")
            assert await number(rig) == 2

    run(work())


def test_change_that_the_file_system_has_no_time_for_is_found_a_little_later(tmp_path, monkeypatch):
    """Some file systems tell whole seconds apart: two writes in one leave one stamp."""
    monkeypatch.setattr(reload, "COARSEST", 0.5)
    stamp = reload._stamp

    def coarse(path):
        found = stamp(path)
        return found and found._replace(
            modified=found.modified // 10**11, changed=found.changed // 10**11
        )

    monkeypatch.setattr(reload, "_stamp", coarse)

    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            (tmp_path / "probe.py").write_text(version(10))
            await status(rig, "loaded")
            first = rig.plugin.reloader.status
            (tmp_path / "probe.py").write_text(version(20))
            await rig.until(lambda: rig.plugin.reloader.status not in (first, "loading"))
            assert await number(rig) == 20

    run(work())


def test_file_that_is_emptied_first_is_waited_for(tmp_path):
    async def work():
        said: list[str] = []
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            rig.plugin.on_change.connect(lambda: said.append(rig.plugin.reloader.status))
            with open(tmp_path / "probe.py", "w") as file:
                await asyncio.sleep(0.7)  # longer than it takes a file to be seen, and to settle
                file.write(version(2))
            await status(rig, "loaded")
            assert await number(rig) == 2
            assert not [each for each in said if each.startswith("not loaded")]

    run(work())


@pytest.mark.parametrize("watch", ["['cal.json']", "('flats', 'cal.json')", "['*.json']"])
def test_data_file_that_changes_reloads_and_counts_in_the_hash(tmp_path, watch):
    cal = tmp_path / "cal.json"

    async def work():
        cal.write_text("1")
        async with plugin_rig(probe(tmp_path, READS.replace("WATCH", watch))) as rig:
            assert await number(rig) == 1
            before = rig.plugin.workers.code_hash
            rewrite(cal, "2")
            await status(rig, "loaded")
            assert await number(rig) == 2
            assert rig.plugin.workers.code_hash != before
            cal.write_text("")  # half written: refused or waited for, never final
            cal.write_text("1")
            await rig.until(lambda: rig.plugin.workers.code_hash == before)
            assert await number(rig) == 1

    run(work())


@pytest.mark.parametrize("watch", ["['flats', 'cal.json']", "['**/*.json']"])
def test_data_file_that_is_new_or_gone_reloads(tmp_path, watch):
    (tmp_path / "flats").mkdir()

    async def work():
        async with plugin_rig(probe(tmp_path, READS.replace("WATCH", watch))) as rig:
            assert await number(rig) == 0
            (tmp_path / "cal.json").write_text("1")
            await status(rig, "loaded")
            assert await number(rig) == 1
            (tmp_path / "flats" / "a.json").write_text("5")
            first = rig.plugin.workers.code_hash
            await rig.until(lambda: rig.plugin.workers.code_hash != first)
            assert await number(rig) == 6
            (tmp_path / "flats" / "a.json").unlink()
            await rig.until(lambda: rig.plugin.workers.code_hash == first)

    run(work())


def test_file_of_the_configuration_is_watched(tmp_path):
    cal = tmp_path / "elsewhere.json"

    async def work():
        cal.write_text("1")
        async with plugin_rig(
            probe(tmp_path, NUMBER.replace("=NUMBER", "=1"), watch=(str(cal),))
        ) as rig:
            before = rig.plugin.workers.code_hash
            cal.write_text("2")
            await status(rig, "loaded")
            assert rig.plugin.workers.code_hash != before

    run(work())
