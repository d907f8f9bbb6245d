"""Every acknowledged file reaches the archive, once, whatever the archive does meanwhile."""

import asyncio

import aioftp
import pytest

from tosip.gateway.archive import ArchiveServer


def test_same_name_twice_gives_both_files(running, image):
    first, second = image(cards=["N       = 1"]), image(cards=["N       = 2"])
    running.upload("a/x.fits", first)
    running.until_delivered(1)
    running.upload("a/x.fits", second)
    running.until_delivered(2)
    archived = running.archived()
    assert archived.pop("a/x.fits") == first
    ((name, data),) = archived.items()
    assert name == f"a/x~{running.stored[1].id}.fits"
    assert data == second


def test_many_uploads_of_one_name_at_once_are_all_delivered(site, image):
    site.start_gateway()
    data = [image(cards=[f"N       = {number}"]) for number in range(8)]
    for one in data:
        site.upload("x.fits", one)
    site.start_archive()
    site.until_delivered(8)
    assert sorted(site.archived().values()) == sorted(data)


def test_archive_that_is_down_gets_everything_when_it_comes_up(site, image):
    site.start_gateway()
    for number in range(3):
        assert site.upload(f"{number}.fits", image()).startswith("226")
    site.until(lambda: "archive 127.0.0.1" in site.counters.last_error)
    assert not site.counters.archive_ok
    assert site.counters.pending == 3
    site.start_archive()
    site.until_delivered(3)
    assert site.counters.archive_ok
    assert sorted(site.archived()) == ["0.fits", "1.fits", "2.fits"]


def test_archive_that_goes_and_comes_back_misses_nothing(running, image):
    running.upload("0.fits", image())
    running.until_delivered(1)
    running.stop_archive()
    running.upload("1.fits", image())
    running.until(lambda: not running.counters.archive_ok)
    running.start_archive()
    running.until_delivered(2)
    assert sorted(running.archived()) == ["0.fits", "1.fits"]


class FaultyArchive(ArchiveServer):
    """Misbehaves a few times, each time in the way that a subclass adds, and then works."""

    faults = 2

    def faulty(self) -> bool:
        self.faults -= 1
        return self.faults >= 0


class Truncating(FaultyArchive):
    """Keeps less than it got, and says 226 all the same."""

    async def stor(self, connection, rest, mode="wb"):
        path, _ = self.get_paths(connection, rest)
        result = await super().stor(connection, rest, mode)
        if self.faulty():
            await asyncio.wait(set(connection.extra_workers))
            path.write_bytes(path.read_bytes()[:1000])
        return result


class Dropping(FaultyArchive):
    """Hangs up when it is asked to rename."""

    async def rnfr(self, connection, rest):
        return not self.faulty() and await super().rnfr(connection, rest)


class Silent(FaultyArchive):
    """Renames, and hangs up before it says so."""

    async def rnto(self, connection, rest):
        if not self.faulty():
            return await super().rnto(connection, rest)
        connection.response = lambda *_: None
        await super().rnto(connection, rest)
        return False


class Refusing(FaultyArchive):
    """Says that it is full."""

    async def stor(self, connection, rest, mode="wb"):
        if not self.faulty():
            return await super().stor(connection, rest, mode)
        connection.response("452", "full")
        return True


@pytest.mark.parametrize("archive", [Truncating, Dropping, Silent, Refusing])
def test_misbehaving_archive_is_tried_until_it_has_the_file(site, image, archive):
    site.start_archive(archive)
    site.start_gateway()
    site.upload("x.fits", image())
    site.until_delivered(1)
    assert site.archived() == {"x.fits": image()}
    assert site.counters.last_error
    assert site.archive.faults < FaultyArchive.faults


def test_damaged_spool_file_is_never_delivered(site, image):
    site.start_gateway()
    site.upload("x.fits", image())
    (path,) = site.committed()
    path.write_bytes(b"X" + image()[1:])
    site.start_archive()
    site.until(lambda: "damaged" in site.counters.last_error)
    site.upload("y.fits", image())
    site.until_delivered(1)
    assert site.archived() == {"y.fits": image()}
    assert site.counters.pending == 1


def test_archive_without_size_is_asked_otherwise(site, image):
    class Old(ArchiveServer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            del self.commands_mapping["size"]

    site.start_archive(Old)
    site.start_gateway()
    site.upload("x.fits", image())
    site.until_delivered(1)
    assert site.archived() == {"x.fits": image()}


def test_plain_aioftp_server_will_do_as_archive(site, image):
    def plain(root, user, password):
        return aioftp.Server([aioftp.User(user, password, base_path=root)])

    site.start_archive(plain)
    site.start_gateway()
    site.upload("deep/down/x.fits", image())
    site.until_delivered(1)
    assert site.archived() == {"deep/down/x.fits": image()}
