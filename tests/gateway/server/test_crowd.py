"""The crowd: who may come in and who makes room."""

import pytest

from tosip.gateway.server.crowd import Crowd, Guest
from tosip.gateway.settings import Limits


class Door:
    """A crowd, and the names of those that were sent away."""

    def __init__(self, **limits):
        self.changes = 0
        self.away: list[str] = []
        self.crowd = Crowd(Limits(**limits), self.changed)

    def changed(self):
        self.changes += 1

    def enter(self, name, address="a"):
        guest = Guest(address, lambda: self.away.append(name))
        return guest, self.crowd.enter(guest)


def test_oldest_stranger_of_the_same_address_goes_first():
    door = Door(per_address=2, strangers=9)
    for name in "xyz":
        assert door.enter(name)[1] == ""
    assert door.away == ["x"]


def test_address_with_most_strangers_gives_room():
    door = Door(strangers=3)
    for name, address in (("one", "b"), ("first", "a"), ("second", "a"), ("new", "c")):
        assert door.enter(name, address)[1] == ""
    assert door.away == ["first"]


def test_those_that_have_logged_in_are_never_sent_away():
    door = Door(per_address=2)
    for name in "xy":
        guest, _ = door.enter(name)
        assert door.crowd.log_in(guest, "cam01") == ""
    assert door.enter("z")[1] == "too many connections from this address"
    assert door.away == []


@pytest.mark.parametrize("limits", [{"connections": 1}, {"per_user": 1}])
def test_refused_log_in_leaves_a_stranger(limits):
    door = Door(**limits)
    (one, _), (other, _) = door.enter("x"), door.enter("y")
    assert door.crowd.log_in(one, "cam01") == ""
    assert door.crowd.log_in(other, "cam01").startswith("too many")
    assert (door.crowd.logged_in, other.user) == (1, "")
    assert door.crowd.users == {"cam01"}
    door.crowd.leave(other)
    door.crowd.leave(one)
    door.crowd.leave(one)
    assert (door.crowd.logged_in, door.changes) == (0, 2)


def test_who_logs_out_is_a_stranger_again():
    door = Door(strangers=1)
    guest, _ = door.enter("x")
    door.crowd.log_in(guest, "cam01")
    door.crowd.log_out(guest)
    assert door.crowd.users == frozenset()
    door.enter("y")
    assert door.away == ["x"]
