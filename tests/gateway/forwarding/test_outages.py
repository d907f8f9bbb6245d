"""An archive that fails is left in peace, tried again by one, and gets everything at the end."""

import asyncio
import logging
import os
import time

import pytest
from aioftp.common import Code

from tests.gateway.forwarding.hostile_archive import (
    Break,
    Cut,
    Drip,
    HangUp,
    Misbehaviour,
    Mute,
    No150,
    Say,
    Silence,
    Stall,
)
from tosip.gateway.forwarding import session, transfer
from tosip.gateway.forwarding.pace import Pace, TooSlow
from tosip.gateway.forwarding.sending import DataConnection
from tosip.testing.ioc import free_port

DATA = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the kernel's buffers take

SAYS = [("CONNECT", "421 full"), ("PASS", "530 no"), ("USER", "421 later"), ("EPSV", "425 no port")]
SAYS += [("STOR", reply) for reply in ("421 bye", "425 no", "426 cut", "450 busy", "451 oops")]
SAYS += [("STOR", "452 full"), ("STOR", "552 full"), ("STOR", "530 who?"), ("STOR", "502 what?")]
SAYS += [("RNFR", "450 busy"), ("RNTO", "421 bye"), ("RNTO", "451 oops"), ("SIZE", "421 bye")]
SAYS += [("TYPE", "500 what?"), ("MKD", "421 bye"), ("STOR", "nonsense"), ("SIZE", "213 many")]


@pytest.mark.parametrize(("verb", "reply"), SAYS)
def test_reply_that_is_the_archives_fault_is_no_refusal(depot, archive, verb, reply):
    archive.misbehave(verb, Say(reply), times=3)
    depot.start(archive, refusals=1, timeout=0.3)
    depot.commit("a/x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"a/x": DATA}
    assert depot.spool.totals.dead == 0
    assert {"Refusing", "Unreachable"} & set(depot.states)
    assert depot.states[-1] == "OK"


WAYS: list[tuple[str, Misbehaviour]]
WAYS = [(verb, Silence()) for verb in ("CONNECT", "USER", "PASS", "TYPE", "FEAT", "EPSV", "STOR")]
WAYS += [(verb, Silence()) for verb in ("SIZE", "RNFR", "RNTO")]
WAYS += [("STOR", No150()), ("STOR", Mute()), ("STOR", Stall(100_000))]
WAYS += [(verb, HangUp()) for verb in ("CONNECT", "PASS", "EPSV", "STOR", "SIZE", "RNTO")]
WAYS += [("STOR", HangUp(reset=True)), ("RNTO", HangUp(after=True, reset=True))]
WAYS += [("STOR", Break(100_000)), ("STOR", Break(100_000, reset=False)), ("STOR", Break(1))]
WAYS += [("STOR", Break(100_000, "452 full")), ("STOR", Break(100_000, "552 full", reset=False))]


@pytest.mark.parametrize(("verb", "how"), WAYS)
def test_no_step_waits_for_ever_and_no_socket_is_left(depot, archive, verb, how):
    depot.commit("a/x", DATA)
    before = len(os.listdir("/proc/self/fd"))
    archive.misbehave(verb, how, times=2)
    depot.start(archive, refusals=1, timeout=0.15, workers=1)
    depot.until_delivered(1)
    assert archive.files == {"a/x": DATA}
    depot.stop()
    depot.call(archive.stop())
    depot.call(asyncio.sleep(0))
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("how", [Stall(10), Break(10), Break(10, "226 all", reset=False)])
def test_read_back_that_is_cut_is_no_proof_of_damage_unless_it_is_the_whole_answer(
    depot, archive, how
):
    archive.misbehave("RETR", how)
    depot.start(archive, verify="read-back", refusals=2, timeout=0.3)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_half_a_line_is_no_reply(depot, archive):
    archive.misbehave("SIZE", Cut(f"213 {len(DATA)}"), after=2)  # the one after RNTO
    depot.start(archive, refusals=1)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert depot.states.count("Unreachable") == 1


def test_archive_that_says_226_before_it_has_all_is_not_believed(depot, archive):
    archive.misbehave("STOR", Break(100_000, "226 thanks", reset=False), times=2)
    depot.start(archive, timeout=1)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert len(depot.delivered) == 1


def test_archive_that_is_down_gets_everything_when_it_comes_up(depot):
    port = free_port()
    for number in range(20):
        depot.commit(f"{number}", b"%d" % number)
    depot.start(port)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    assert depot.forwarder.last_error == f"archive 127.0.0.1:{port}: Connection refused"
    archive = depot.archive(port=port)
    depot.until_delivered(20)
    assert archive.files == {f"{number}": b"%d" % number for number in range(20)}
    assert depot.forwarder.state == "OK"


def test_archive_that_is_full_takes_all_when_it_has_room_again(depot, archive):
    archive.capacity = 3 * len(DATA)
    for number in range(6):
        depot.commit(f"{number}", DATA)
    depot.start(archive, refusals=1)
    depot.until(lambda: depot.forwarder.state == "Refusing")
    assert "452 full" in depot.forwarder.last_error
    depot.do(archive.behave)
    depot.until_delivered(6)
    assert archive.files == {f"{number}": DATA for number in range(6)}


@pytest.mark.parametrize("reply", ["452 full", "552 full", "451 oops"])
def test_what_was_sent_of_a_file_that_is_not_taken_makes_room_for_others(depot, archive, reply):
    archive.misbehave("STOR", Break(100_000, reply))
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Refusing")
    assert archive.verbs()[-1] == "DELE"
    assert archive.files == {}


def test_partial_files_of_several_workers_do_not_keep_each_other_out(depot, archive):
    depot.start(archive, workers=3)
    depot.until(lambda: depot.forwarder.state == "OK")
    archive.capacity = 7 << 20
    depot.do(setattr, depot.forwarder, "paused", True)
    for number in range(3):
        depot.commit(f"{number}", bytes([number]) * (4 << 20))
    depot.do(setattr, depot.forwarder, "paused", False)
    depot.until_delivered(1)


@pytest.mark.parametrize("most", [1, 2])
def test_archive_that_allows_few_sessions_is_used_through_these(depot, archive, most, caplog):
    archive.most_sessions = most
    depot.start(archive, workers=3, first_delay=30, longest_delay=60)
    for number in range(60):
        depot.commit(f"{number}", DATA[:100_000])
    depot.until_delivered(60)
    assert set(depot.states) == {"OK"}
    lines = [r.getMessage() for r in caplog.records if "421 too many" in r.getMessage()]
    assert 1 <= len(lines) <= 3 - most
    assert archive.verbs().count("USER") == most


def test_archive_that_lets_nobody_in_is_away_for_those_that_were_turned_away_too(depot, archive):
    archive.most_sessions = 1
    depot.start(archive, workers=3, first_delay=0.01, longest_delay=0.05)
    for number in range(20):
        depot.commit(f"{number}", DATA[:100_000])
    depot.until_delivered(20)
    port = archive.port
    depot.call(archive.stop())
    depot.commit("x")
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    depot.call(archive.start(port=port))
    depot.until_delivered(21)


def test_drip_holds_no_worker(depot, archive):
    archive.misbehave("RETR", Drip(0.01))
    depot.start(archive, workers=1, timeout=0.2, verify="read-back")
    depot.commit("x", DATA[:100_000])
    depot.until_delivered(1)
    assert any("expected at least 1024 bytes/s, got" in error for error in depot.errors)


def test_pace_counts_what_reaches_the_other_end():
    moved = iter([0, 1_000_000, 1_000_001])
    pace = Pace(lambda: next(moved), 0.01)
    time.sleep(0.01)
    pace.check()
    pace.check()
    time.sleep(0.01)
    with pytest.raises(TooSlow, match="got "):
        pace.check()


class Kernel(DataConnection):
    """A data connection whose kernel still has so much of a file to send."""

    def __init__(self, unsent):
        self._unsent = iter(unsent)
        self.left = unsent[0]

    def unsent(self):
        self.left = next(self._unsent)
        return self.left

    def pace(self):
        return Pace(lambda: -self.left, 0.02)


@pytest.mark.parametrize(
    ("unsent", "error"),
    [
        ([10_000, 9_999], TooSlow),
        ([10_000, 5_000, 0], TimeoutError),
        ([10_000, 5_000, 4_999], TooSlow),
        ([0], TimeoutError),
    ],
)
def test_reply_is_waited_for_while_enough_goes_on_to_the_archive(unsent, error):
    async def wait():
        reply = asyncio.ensure_future(asyncio.sleep(60, (Code("226"), ["too late"])))
        await transfer._wait_while_it_moves(reply, Kernel(unsent), 0.02)

    with pytest.raises(TimeoutError) as told:
        asyncio.run(wait())
    assert told.type is error


def test_one_worker_at_a_time_tries_an_archive_that_is_down(depot, archive):
    for number in range(30):
        depot.commit(f"{number}")
    archive.misbehave("CONNECT", Say("421 down"), times=None)
    together = []
    serve = archive._serve

    async def counted(reader, writer):
        together.append(archive.connected + 1)
        await serve(reader, writer)

    archive._serve = counted
    depot.call(archive.stop())
    depot.call(archive.start(port=archive.port))
    depot.start(archive, workers=4, first_delay=0.01, longest_delay=0.02)
    depot.until(lambda: len(depot.errors) >= 12)
    assert max(together[4:]) == 1
    depot.do(archive.behave)
    depot.until_delivered(30)


def test_pauses_grow_until_one_file_is_delivered_and_then_nobody_waits(depot, archive):
    for number in range(10):
        depot.commit(f"{number}")
    archive.misbehave("STOR", Say("451 no"), times=6)
    depot.start(archive, workers=3, first_delay=0.05, longest_delay=0.2)
    began = time.monotonic()
    depot.until(lambda: archive.verbs().count("STOR") >= 6)
    assert time.monotonic() - began > 0.15
    depot.until_delivered(10)
    assert len(archive.files) == 10


def test_an_outage_is_one_line_in_the_log_and_its_end_another(depot, archive, caplog):
    caplog.set_level(logging.INFO)
    archive.misbehave("STOR", Say("451 no"), times=10)
    depot.start(archive)
    depot.commit("x")
    depot.until_delivered(1)
    lines = [r.getMessage() for r in caplog.records if "archive" in r.getMessage()]
    assert len(lines) == 2, lines
    assert "STOR: 451 no" in lines[0]
    assert lines[1].endswith("works again")


def test_retry_now_ends_the_waiting_at_once(depot, archive):
    archive.misbehave("STOR", Say("451 no"))
    archive.misbehave("STOR", Say("550 no"))
    depot.start(archive, first_delay=1000, longest_delay=1000)
    depot.commit("x")
    depot.until(lambda: depot.forwarder.state == "Refusing")
    depot.do(depot.forwarder.retry_now)
    depot.until(lambda: "550" in depot.forwarder.last_error)
    depot.do(depot.forwarder.retry_now)
    depot.until_delivered(1)


def test_idle_gateway_finds_out_that_the_archive_goes_and_comes(depot):
    archive = depot.archive()
    depot.start(archive, check_interval=0.05)
    depot.until(lambda: depot.forwarder.state == "OK")
    depot.call(archive.stop())
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    depot.call(archive.start(port=archive.port))
    depot.until(lambda: depot.forwarder.state == "OK")


@pytest.mark.parametrize("how", [HangUp(), Say("421 you were idle")])
def test_session_that_the_archive_has_ended_is_replaced_without_a_word(
    depot, archive, how, monkeypatch
):
    monkeypatch.setattr(session, "STALE", 0.0)  # each session is asked whether it is alive
    depot.start(archive, workers=1, check_interval=60)
    depot.commit("x")
    depot.until_delivered(1)
    archive.misbehave("NOOP", how)
    depot.commit("y")
    depot.until_delivered(2)
    assert set(depot.states) == {"OK"}
    assert archive.verbs().count("USER") == 2


def test_paused_forwarder_ends_what_runs_and_begins_nothing(depot, archive):
    archive.misbehave("STOR", Stall(100_000))
    depot.start(archive, workers=1, timeout=0.5)
    depot.commit("x", DATA)
    depot.until(lambda: "STOR" in archive.verbs() or depot.do(lambda: None))
    depot.do(setattr, depot.forwarder, "paused", True)
    assert depot.forwarder.state == "Paused"
    depot.until(lambda: depot.errors[-1])
    depot.commit("y")
    assert depot.delivered == []
    depot.do(setattr, depot.forwarder, "paused", False)
    depot.until_delivered(2)
    assert set(archive.files) == {"x", "y"}


def test_pausing_lets_a_running_delivery_finish(depot, archive):
    depot.start(archive, workers=1)
    depot.until(lambda: depot.forwarder.state == "OK")

    def commit_and_pause():
        depot.forwarder.add(entry)
        depot.loop.call_later(0.001, setattr, depot.forwarder, "paused", True)

    forwarder, depot.forwarder = depot.forwarder, None
    entry = depot.commit("x", DATA)
    depot.forwarder = forwarder
    depot.do(commit_and_pause)
    depot.until_delivered(1)
    assert depot.forwarder.state == "Paused"


def test_many_files_refused_in_a_row_slow_the_forwarder_down(depot, archive):
    archive.misbehave("STOR", Say("550 read-only"), times=None)
    for number in range(20):
        depot.commit(f"{number}")
    depot.start(archive, workers=1, refusals=2, first_delay=0.3, longest_delay=60)
    depot.until(lambda: depot.forwarder.state == "Refusing" and len(depot.errors) >= 3)
    assert archive.verbs().count("STOR") <= 4
    assert depot.spool.totals.dead == 0
