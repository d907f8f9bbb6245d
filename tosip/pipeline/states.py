"""The states of a supervised worker, as a table: no clock, no process."""

import enum

from tosip.errors import TosipError


class WorkerState(enum.Enum):
    """What a worker is doing; the value is what operators read."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    IDLE = "Idle"
    BUSY = "Busy"
    STOPPING = "Stopping"
    BACKOFF = "Backoff"
    QUARANTINED = "Quarantined"


class Event(enum.Enum):
    """What can happen to a worker."""

    START = "start"
    READY = "ready"
    FRAME = "frame"
    DONE = "done"
    DIED = "died"
    RETRY = "retry"
    GIVE_UP = "give up"
    REARM = "rearm"
    STOP = "stop"
    GONE = "gone"
    SWAP = "swap"


class StateError(TosipError, RuntimeError):
    """An event that cannot happen in the present state: a fault of TOSIP."""


S, E = WorkerState, Event

TRANSITIONS: dict[tuple[WorkerState, Event], WorkerState] = {
    (S.STOPPED, E.START): S.STARTING,
    (S.STARTING, E.READY): S.IDLE,
    (S.IDLE, E.FRAME): S.BUSY,
    (S.BUSY, E.DONE): S.IDLE,
    (S.STARTING, E.DIED): S.BACKOFF,
    (S.IDLE, E.DIED): S.BACKOFF,
    (S.BUSY, E.DIED): S.BACKOFF,
    (S.BACKOFF, E.RETRY): S.STARTING,
    (S.BACKOFF, E.GIVE_UP): S.QUARANTINED,
    (S.QUARANTINED, E.REARM): S.STARTING,
    # A worker with newer code takes over, whatever has become of the older one.
    **{(s, E.SWAP): S.IDLE for s in (S.IDLE, S.STARTING, S.BACKOFF, S.QUARANTINED)},
    **{(state, E.STOP): S.STOPPING for state in S},
    (S.STOPPING, E.GONE): S.STOPPED,
}


def next_state(state: WorkerState, event: Event) -> WorkerState:
    """Return the state after `event`; StateError if it cannot happen."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateError(f"worker: no {event.value} expected while {state.value}") from None
