"""A listener that raises harms neither those after it nor the caller, and is counted."""

from tosip.events import Event, call
from tosip.health import HEALTH


def _broken(*_: object) -> None:
    raise OSError(24, "Too many open files")


def test_all_listeners_are_called_in_their_order_whatever_one_of_them_raises(caplog):
    told: list[object] = []
    event: Event[[int]] = Event("CAM77.publish")
    for listener in (told.append, _broken, lambda n: told.append(-n)):
        event.connect(listener)
    before = HEALTH.listener_faults
    event(1)
    event(2)
    assert told == [1, -1, 2, -2]
    assert (event.faults, HEALTH.listener_faults - before) == (2, 2)
    first, second = caplog.records
    assert "CAM77.publish" in first.getMessage()
    assert "test_events._broken" in first.getMessage()
    assert first.exc_info  # the traceback, once
    assert not second.exc_info


def test_listeners_may_come_and_go_while_the_event_is_called():
    event: Event[[]] = Event("E")
    told: list[str] = []

    def once() -> None:
        event.disconnect(once)
        event.connect(lambda: told.append("next"))
        told.append("once")

    event.connect(once)
    event()
    event()
    assert (told, len(event)) == (["once", "next"], 1)


def test_single_function_is_contained_too(caplog):
    before = HEALTH.listener_faults
    assert not call("CAM01", _broken, 1)
    assert call("CAM01", int, "1")
    assert HEALTH.listener_faults == before + 1
    assert "Too many open files" in caplog.text
