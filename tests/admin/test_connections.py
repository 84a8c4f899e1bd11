"""Which connections are kept when more come than there is room for."""

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.admin.connections import Connections, client_of


def _enter(table: Connections[int], number: int, client: object = None) -> int | None:
    """Open one more; returns which one was closed for it, -1 if the new one was."""
    has_room, gone = table.room(client)
    if not has_room:
        return -1
    if gone is not None:
        table.discard(gone)
    table.add(number, client)
    return gone


def test_the_longest_silent_one_goes() -> None:
    """A new connection has room: the one silent for longest is closed for it."""
    table: Connections[int] = Connections(3, 2)
    assert [_enter(table, each) for each in (1, 2, 3)] == [None] * 3
    assert _enter(table, 4) == 1
    table.asked(2)
    table.answered(2)  # just now: 3 is silent for longer
    assert _enter(table, 5) == 3
    assert sorted(table) == [2, 4, 5]
    assert len(table) == 3


def test_who_is_being_answered_stays() -> None:
    """No connection is cut off in the middle of an answer."""
    table: Connections[int] = Connections(2, 2)
    for each in (1, 2):
        _enter(table, each)
        table.asked(each)
    assert _enter(table, 3) == -1
    assert table.longest_waiting is None
    table.answered(2)
    assert _enter(table, 3) == 2


def test_one_client() -> None:
    """One client has room for some only, at its own cost; this machine for all."""
    table: Connections[int] = Connections(10, 2)
    assert [_enter(table, each, "a") for each in (1, 2, 3)] == [None, None, 1]
    assert _enter(table, 4, "b") is None
    table.asked(2)
    table.asked(3)
    assert _enter(table, 5, "a") == -1
    assert [_enter(table, each) for each in range(10, 17)] == [None] * 7


def test_what_is_gone() -> None:
    """A closed connection is not counted again when its answer ends."""
    table: Connections[int] = Connections(2, 2)
    _enter(table, 1)
    table.discard(1)
    table.discard(1)
    table.answered(1)
    assert (len(table), table.longest_waiting) == (0, None)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.booleans())))
def test_never_too_many(steps: list[tuple[int, str, bool]]) -> None:
    """There are never more than there may be, of all and of one client."""
    table: Connections[int] = Connections(5, 2)
    clients: dict[int, str] = {}
    for number, (asked, client, answered) in enumerate(steps, start=100):
        _enter(table, number, client)
        clients[number] = client
        held = list(table)
        if held:
            one = held[asked % len(held)]
            table.asked(one)
            if answered:
                table.answered(one)
        assert len(held) <= 5
        assert max(map([clients[each] for each in held].count, "abc")) <= 2


def test_clients() -> None:
    """One client is an address, or a /64; programs on this machine are not counted."""
    assert (
        client_of("10.0.0.1") == client_of("::ffff:10.0.0.1") != client_of("10.0.0.2")
    )
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1")
    assert client_of("2001:db8::1") != client_of("2001:db8:0:1::1")
    assert client_of("fe80::1%eth0") == client_of("fe80::2")
    for host in (None, "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
        assert client_of(host) is None
    assert client_of("odd") == "odd"
