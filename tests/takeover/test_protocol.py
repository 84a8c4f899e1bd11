"""The lines by which one gateway takes over from another."""

import json

import pytest

from lbconsul.takeover.protocol import (
    ACCEPTING,
    MAX_LINE,
    MAX_WORD,
    MOST_SOCKETS,
    RETIRING,
    ProtocolError,
    Refused,
    read_offer,
    read_request,
    read_state,
    read_word,
    write_offer,
    write_refusal,
    write_request,
    write_word,
)


def test_understood() -> None:
    """Each message is one line, and decodes to what was encoded."""
    lines = [write_request("lbconsul 0.1.0"), write_offer([]), write_refusal("no")]
    read_request(lines[0])
    assert read_offer(lines[1]) == []
    for word in (ACCEPTING, RETIRING):
        lines.append(write_word(word))
        assert read_word(lines[-1]) == word
    assert all(each.endswith(b"\n") and each.count(b"\n") == 1 for each in lines)
    assert all(len(each) <= MAX_WORD for each in lines)


def test_addresses() -> None:
    """Addresses arrive as they are, in their order, whatever a path is made of."""
    addresses = ["[::]:80", "unix:/run/\u00fc\udcff\n.sock", "systemd:web"]
    assert read_offer(write_offer(addresses)) == addresses


def test_an_offer_has_the_state() -> None:
    """
    The old gateway's state comes along; an offer without one, or with an invalid one,
    is valid as well.
    """
    state = {"drained": [["dc1", "n", "\u00fc", 7]], "ready": True}
    line = write_offer(["a"], state)
    assert (read_offer(line), read_state(line)) == (["a"], state)
    assert read_state(write_offer(["a"])) == {}
    assert read_state(b'{"takeover": 1, "sockets": [], "state": [1]}') == {}


def test_state_without_room() -> None:
    """The sockets go before what is said beside them."""
    line = write_offer(["a"], {"much": "x" * MAX_LINE})
    assert (read_offer(line), read_state(line)) == (["a"], {})


def test_state_with_some_room() -> None:
    """What takes most room in the state is left out first."""
    state = {"drained": [1], "much": "x" * MAX_LINE, "some": "y" * (MAX_LINE // 2)}
    line = write_offer(["a"], state)
    del state["much"]
    assert (read_offer(line), read_state(line)) == (["a"], state)
    assert len(line) < MAX_LINE


def test_an_offer_of_many_sockets() -> None:
    """An offer has room for as many sockets as any gateway has, and not for more."""
    addresses = [f"unix:/{number:0107}" for number in range(MOST_SOCKETS)]
    line = write_offer(addresses)
    assert len(line) < MAX_LINE
    assert read_offer(line) == addresses
    with pytest.raises(
        ProtocolError, match=r"^10001 sockets are more than can be handed"
    ):
        write_offer([*addresses, "one more"])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"takeover": [2, 3]}, "protocol version 2, 3 instead of 1"),
        ({"takeover": []}, "protocol version none instead of 1"),
        ({"takeover": 1}, "not a takeover request"),
        ({}, "not a takeover request"),
        ([1], "not a JSON object"),
    ],
)
def test_another_query(said: object, told: str) -> None:
    """Another version is refused by number, and what is no question as that."""
    with pytest.raises(ProtocolError) as raised:
        read_request(json.dumps(said).encode())
    assert str(raised.value) == told


def test_newer_versions() -> None:
    """A request that lists newer versions too is valid, and so is what it adds."""
    read_request(b'{"takeover": [3, 2, 1], "program": "lbconsul 9", "more": {}}')
    assert read_offer(b'{"takeover": 1, "sockets": ["a"], "more": 1}') == ["a"]


def test_refusal() -> None:
    """A refusal says why."""
    with pytest.raises(Refused, match=r"^it is Sunday$"):
        read_offer(write_refusal("it is Sunday"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"takeover": 2, "sockets": []}, "protocol version 2 instead of 1"),
        ({"sockets": []}, "protocol version None instead of 1"),
        ({"takeover": 1}, "no list of sockets"),
        ({"takeover": 1, "sockets": "80"}, "no list of sockets"),
        ({"takeover": 1, "sockets": ["a"] * 10_001}, "no list of sockets"),
        ({"takeover": 1, "sockets": [80]}, "a socket's address is not valid"),
        ({"takeover": 1, "sockets": [""]}, "a socket's address is not valid"),
        ({"takeover": 1, "sockets": ["a" * 301]}, "a socket's address is not valid"),
        ({"takeover": 1, "sockets": ["a", "a"]}, "a socket is named twice"),
        (None, "not a JSON object"),
    ],
)
def test_another_offer(said: object, told: str) -> None:
    """The error about an invalid offer is short."""
    with pytest.raises(ProtocolError) as raised:
        read_offer(json.dumps(said).encode())
    assert str(raised.value) == told


@pytest.mark.parametrize("line", [b"", b"GET / HTTP/1.1\r\n", b"\xff", b"[" * 100_000])
def test_no_json(line: bytes) -> None:
    """Nor does a line that is not JSON do harm."""
    with pytest.raises(ProtocolError, match=r"^not JSON$"):
        read_word(line)


def test_no_word() -> None:
    """The error shows an unknown word, cut if it is long."""
    with pytest.raises(ProtocolError) as raised:
        read_word(write_word("x" * 1000))
    assert str(raised.value) == f"unknown word '{'x' * 300}'"
