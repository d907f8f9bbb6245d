"""The table of a worker's states."""

import pytest

from tosip.pipeline.states import TRANSITIONS, Event, StateError, WorkerState, next_state


def test_life_of_a_worker():
    state = WorkerState.STOPPED
    events = "START READY FRAME DONE FRAME DIED RETRY DIED GIVE_UP REARM STOP GONE"
    for event in events.split():
        state = next_state(state, Event[event])
    assert state is WorkerState.STOPPED


@pytest.mark.parametrize("state", WorkerState)
def test_every_state_can_be_left_and_stopped(state):
    assert next_state(state, Event.STOP) is WorkerState.STOPPING
    assert any(source is state for source, _ in TRANSITIONS)


def test_event_that_cannot_be_is_refused_in_words():
    with pytest.raises(StateError, match="no frame expected while Quarantined"):
        next_state(WorkerState.QUARANTINED, Event.FRAME)
