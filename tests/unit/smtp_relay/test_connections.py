"""How many connections there may be, and who has to go."""

from __future__ import annotations

from smtp_relay import replies
from smtp_relay.connections import Connections
from smtp_relay.replies import Reply


class Fake:
    def __init__(self) -> None:
        self.farewells: list[Reply] = []

    def interrupt(self, farewell: Reply) -> None:
        self.farewells.append(farewell)

    dismiss = interrupt


def test_address_has_so_many_and_no_more_until_one_leaves() -> None:
    connections = Connections(members=10, per_user=10, strangers=10, per_address=2)
    first, second, third = Fake(), Fake(), Fake()
    assert connections.admit(first, "192.0.2.1") is None
    assert connections.admit(second, "192.0.2.1") is None
    assert connections.admit(third, "192.0.2.1") == replies.TOO_MANY_FROM_ADDRESS
    assert connections.admit(Fake(), "192.0.2.2") is None
    connections.leave(first)
    connections.leave(first)
    assert connections.admit(third, "192.0.2.1") is None
    assert connections.admit(Fake(), "192.0.2.1") == replies.TOO_MANY_FROM_ADDRESS


def test_stranger_that_was_here_longest_makes_room_and_members_never_do() -> None:
    connections = Connections(members=10, per_user=10, strangers=2, per_address=10)
    member, oldest, newer, newest = (Fake() for _ in range(4))
    connections.admit(member, "192.0.2.1")
    assert connections.promote(member, "user") is None
    for each in (oldest, newer, newest):
        assert connections.admit(each, "192.0.2.2") is None
    assert oldest.farewells == [replies.MADE_ROOM]
    assert not (member.farewells or newer.farewells or newest.farewells)
    assert len(connections) == 3


def test_members_are_bounded() -> None:
    connections = Connections(members=1, per_user=1, strangers=10, per_address=10)
    first, second = Fake(), Fake()
    connections.admit(first, "192.0.2.1")
    connections.admit(second, "192.0.2.1")
    assert connections.promote(first, "ann") is None
    assert connections.promote(second, "bob") == replies.TOO_MANY_LOGINS
    connections.leave(first)
    assert connections.promote(second, "bob") is None
    assert (connections.members, len(connections)) == (1, 1)


def test_stranger_that_was_sent_away_is_not_promoted() -> None:
    connections = Connections(members=1, per_user=1, strangers=10, per_address=10)
    gone = Fake()
    connections.admit(gone, "192.0.2.1")
    connections.leave(gone)
    assert connections.promote(gone, "user") == replies.MADE_ROOM


def test_user_has_so_many_and_other_users_are_not_kept_out() -> None:
    connections = Connections(members=10, per_user=1, strangers=10, per_address=10)
    first, second, other = Fake(), Fake(), Fake()
    for each in (first, second, other):
        connections.admit(each, "192.0.2.1")
    assert connections.promote(first, "ann") is None
    assert connections.promote(second, "ann") == replies.TOO_MANY_OF_USER
    assert connections.promote(other, "bob") is None
    connections.leave(first)
    connections.leave(first)
    assert connections.promote(second, "ann") is None


def test_members_do_not_count_for_their_address() -> None:
    connections = Connections(members=10, per_user=10, strangers=10, per_address=1)
    for _ in range(3):
        member = Fake()
        assert connections.admit(member, "192.0.2.1") is None
        assert connections.promote(member, "user") is None
    assert connections.admit(Fake(), "192.0.2.1") is None
    assert connections.admit(Fake(), "192.0.2.1") == replies.TOO_MANY_FROM_ADDRESS
