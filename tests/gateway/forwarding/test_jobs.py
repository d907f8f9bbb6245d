"""The order of files, and that many of them cost little."""

import time
import tracemalloc
from pathlib import Path

from tosip.gateway.forwarding.breaker import ArchiveState, Breaker
from tosip.gateway.forwarding.jobs import Job, Jobs
from tosip.gateway.spool.stored import Entry, StoredFile


def job(number):
    file = StoredFile(f"{number:08}", "x.fits", "cam", Path("x"), 1, "", float(number))
    return Job.of(Entry(file))


def taken(jobs, *, newest, now=0.0):
    found = jobs.take(now, newest=newest)
    return None if found is None else int(found.file.id)


def filled(count):
    jobs = Jobs()
    for number in range(count):
        jobs.add(job(number))
    return jobs


def test_some_take_the_newest_and_others_the_oldest():
    jobs = filled(4)
    assert [taken(jobs, newest=newest) for newest in (True, False, True, False)] == [3, 0, 2, 1]
    assert taken(jobs, newest=True) is None
    assert len(jobs) == 4


def test_job_that_is_known_is_not_taken_twice():
    jobs = filled(1)
    assert taken(jobs, newest=True) == 0
    jobs.add(job(0))
    assert taken(jobs, newest=True) is None


def test_delayed_job_comes_when_it_is_due():
    jobs = filled(1)
    one = jobs.take(0.0, newest=True)
    jobs.delay(one, 5.0)
    assert jobs.next_due == 5.0
    assert taken(jobs, newest=True, now=4.9) is None
    assert taken(jobs, newest=True, now=5.0) == 0


def test_parked_job_comes_after_all_others():
    jobs = filled(3)
    jobs.park(jobs.take(0.0, newest=True))
    assert [taken(jobs, newest=True) for _ in range(3)] == [1, 0, 2]


def test_forgotten_job_comes_no_more():
    for put in (Jobs.put_back, Jobs.park, lambda jobs, one: jobs.delay(one, 1.0)):
        jobs = filled(2)
        one = jobs.take(0.0, newest=True)
        put(jobs, one)
        jobs.forget(one.file.id)
        assert [taken(jobs, newest=True, now=2.0) for _ in range(2)] == [0, None]


def test_ten_thousand_files_are_picked_in_no_time_and_little_memory():
    tracemalloc.start()
    jobs = filled(10_000)
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    began = time.process_time()
    for number in range(10_000):
        one = jobs.take(0.0, newest=number % 2 == 0)
        if number % 3:
            jobs.forget(one.file.id)
        else:
            jobs.delay(one, 1e9)
    assert time.process_time() - began < 1.0
    assert memory < 10 << 20


def test_breaker_counts_those_that_fail_together_once():
    breaker = Breaker(1.0, 100.0)
    breaker.works()
    assert breaker.fails(0, ArchiveState.UNREACHABLE, 0.0)
    first = breaker.next_try
    for worker in (1, 2):
        assert not breaker.fails(worker, ArchiveState.UNREACHABLE, 0.5)
    assert breaker.next_try == first


def test_breaker_lets_one_try_at_a_time_after_ever_longer_pauses():
    breaker = Breaker(1.0, 100.0)
    now, pauses = 0.0, []
    for _ in range(12):
        assert breaker.allows(now)
        breaker.begin(0)
        assert not breaker.allows(now)
        breaker.fails(0, ArchiveState.UNREACHABLE, now)
        breaker.end(0)
        pauses.append(breaker.next_try - now)
        assert not breaker.allows(now)
        now = breaker.next_try
    assert 0.5 <= pauses[0] <= 1.0
    assert 50 <= pauses[-1] <= 100
    breaker.works()
    assert breaker.allows(now)


def test_pauses_do_not_beat_in_step():
    assert len({Breaker(1.0, 100.0).delay(3) for _ in range(20)}) > 10
