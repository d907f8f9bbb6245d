"""The crowd: who may come in and who makes room."""

import pytest

from tosip.gateway.server.crowd import Crowd, Guest, origin_of
from tosip.gateway.settings import Limits

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Door:
    """A crowd, and the names of those that were sent away."""

    def __init__(self, **limits):
        self.changes = 0
        self.away: list[str] = []
        self.crowd = Crowd(Limits(**limits), self.changed)

    def changed(self):
        self.changes += 1

    def enter(self, name, address=A):
        guest = Guest(address, lambda: self.away.append(name))
        return guest, self.crowd.enter(guest)

    def speak(self, name, address=A):
        guest, refusal = self.enter(name, address)
        assert refusal == ""
        guest.spoke = True
        return guest


def test_oldest_stranger_of_the_same_address_goes_first():
    door = Door(per_address=2, strangers=9)
    for name in "xyz":
        assert door.enter(name)[1] == ""
    assert door.away == ["x"]


def test_address_with_most_strangers_gives_room():
    door = Door(strangers=3)
    for name, address in (("one", B), ("first", A), ("second", A), ("new", C)):
        assert door.enter(name, address)[1] == ""
    assert door.away == ["first"]


def test_silent_ones_go_before_those_that_have_given_a_name():
    door = Door(per_address=3, strangers=9)
    door.speak("x")
    for name in "yzuv":
        door.enter(name)
    assert door.away == ["y", "z"]


def test_crowd_of_many_silent_addresses_leaves_a_camera_that_has_given_its_name():
    door = Door(strangers=4)
    for name in ("camera", "another behind the same address"):
        door.speak(name)
    for number in range(9):
        assert door.enter(f"{number}", f"10.0.1.{number}")[1] == ""
    assert door.away == [f"{number}" for number in range(7)]


def test_address_that_gives_many_names_does_not_push_out_a_camera_that_has_just_come():
    door = Door(strangers=20)
    door.enter("camera", B)
    for number in range(25):
        door.speak(f"{number}")
    assert door.away == [f"{number}" for number in range(6)]


def test_who_is_being_tried_stays_and_others_are_refused_if_need_be():
    door = Door(strangers=2)
    tried = [door.speak(name) for name in "xy"]
    tried[0].trying = True
    assert door.enter("z", B)[1] == ""
    assert door.away == ["y"]
    tried.append(door.enter("u")[0])
    for guest in tried:
        guest.trying = True
    assert door.away == ["y", "z"]
    assert door.crowd.refusal(C) == "too many are logging in"
    assert door.enter("v", C)[1] == "too many are logging in"
    tried[0].trying = False
    assert door.crowd.refusal(C) == ""


def test_address_whose_places_are_all_being_tried_is_refused():
    door = Door(per_address=1)
    door.speak("x").trying = True
    assert door.enter("y")[1] == "too many connections from this address"
    assert door.enter("z", B)[1] == ""
    assert door.away == []


def test_those_that_have_logged_in_are_never_sent_away():
    door = Door(per_address=2)
    for name in "xy":
        guest, _ = door.enter(name)
        assert door.crowd.log_in(guest, "cam01") == ""
    assert door.enter("z")[1] == "too many connections from this address"
    assert door.away == []


def test_who_was_sent_away_cannot_log_in_any_more():
    door = Door(per_address=1)
    (gone, _), (there, _) = door.enter("x"), door.enter("y")
    assert door.away == ["x"]
    assert door.crowd.log_in(gone, "cam01") == "others were waiting"
    assert (gone.user, door.crowd.logged_in) == ("", 0)
    door.crowd.leave(gone)
    assert door.crowd.log_in(there, "cam01") == ""
    assert door.enter("z")[1] == "too many connections from this address"
    door.crowd.leave(there)
    assert door.enter("z")[1] == ""


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


def test_addresses_of_one_ipv6_network_count_as_one():
    door = Door(per_address=2)
    for name in "xyz":
        assert door.enter(name, f"2001:db8::{name == 'z':d}:1")[1] == ""
    assert door.away == ["x"]
    assert door.enter("u", "2001:db8:0:1::1")[1] == ""
    assert door.away == ["x"]


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%2", "fe80::/64"),
    ],
)
def test_what_counts_as_one(address, origin):
    assert origin_of(address) == origin
