"""The new gateway asks the old one for its sockets."""

import fcntl
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lbconsul.errors import CannotTakeOver
from lbconsul.takeover.client import take
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.protocol import write_offer, write_refusal
from lbconsul.takeover.rendezvous import listen_at, trusted_users
from tests.support.descriptors import descriptors
from tests.support.loopback import accept, connect, listening
from tests.support.old_gateway import OldGateway, Part, hear, hear_all, says


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where they meet."""
    return str(tmp_path / "lb.sock")


@contextmanager
def listeners(count: int) -> Iterator[dict[str, socket.socket]]:
    """Listening sockets by address."""
    with ExitStack() as stack:
        socks = [stack.enter_context(listening()) for _ in range(count)]
        yield {"{}:{}".format(*each.getsockname()): each for each in socks}


def has(path: str, within: float = 5.0) -> InheritedSockets:
    """The sockets from the running gateway."""
    taken = take(path, within=within)
    assert taken is not None
    return taken


def refusal(path: str, *parts: Part, within: float = 5.0) -> str:
    """
    The reason why no sockets can be taken from a gateway that does this; no descriptor
    is left open.
    """
    before = descriptors()
    with OldGateway(path, *parts), pytest.raises(CannotTakeOver) as raised:
        take(path, within=within)
    assert descriptors() - before == set()
    start = f"--takeover {path}: "
    assert str(raised.value).startswith(start)
    return str(raised.value)[len(start) :]


def test_nobody_there(path: str) -> None:
    """No process listens, or only a dead socket is there: a normal start."""
    assert take(path) is None
    listen_at(path).close()
    assert os.path.exists(path)
    assert take(path) is None


def test_the_running_gateways_state(path: str) -> None:
    """The running gateway's state is available."""
    with OldGateway(path, says(write_offer([], {"ready": True}))):
        taken = has(path)
        assert taken.state == {"ready": True}
        taken.close()
    with OldGateway(path, says(write_offer([]))):
        taken = has(path)
        assert taken.state == {}
        taken.close()


def test_unfit_place(tmp_path: Path) -> None:
    """An unusable path is an error before any connection."""
    with pytest.raises(CannotTakeOver, match=r": exists and is not a socket$"):
        take(str(tmp_path))


@pytest.mark.parametrize(("count", "at_once"), [(0, 1), (1, 1), (3, 2), (700, 250)])
def test_taken(path: str, count: int, at_once: int) -> None:
    """Each socket comes with its address, however many, and none is passed on."""
    heard: list[bytes] = []

    def part(client: socket.socket) -> None:
        heard.append(hear(client))
        numbers, rest = [each.fileno() for each in theirs.values()], write_offer(theirs)
        while numbers:
            socket.send_fds(client, [rest[:1]], numbers[:at_once])
            rest, numbers = rest[1:], numbers[at_once:]
        client.sendall(rest)
        heard.extend(hear_all(client))

    with listeners(count) as theirs, OldGateway(path, part):
        taken = has(path)
        assert list(taken.sockets) == list(theirs)
        for address, number in taken.sockets.items():
            assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            with socket.socket(fileno=os.dup(number)) as sock:
                assert sock.getsockname() == theirs[address].getsockname()
        for sock in list(theirs.values())[:1]:
            with connect(sock.getsockname()), accept(sock):
                pass
        taken.close()
        assert taken.sockets == {}
    assert heard == [b'{"takeover": [1], "program": "lbconsul"}\n']


def test_byte_by_byte(path: str) -> None:
    """The answer may come in any pieces."""

    def part(client: socket.socket) -> None:
        hear(client)
        line = write_offer(theirs)
        socket.send_fds(client, [line[:1]], [theirs[address].fileno()])
        for number in range(1, len(line)):
            client.sendall(line[number : number + 1])
        hear_all(client)

    with listeners(1) as theirs, OldGateway(path, part):
        [address] = theirs
        taken = has(path)
        assert list(taken.sockets) == [address]
        taken.close()


def test_a_refusal_has_a_reason(path: str) -> None:
    """The running gateway's reason is part of the error."""
    assert refusal(path, says(write_refusal("it is Sunday"))) == (
        "the running gateway refuses: it is Sunday"
    )


def test_not_understood(path: str) -> None:
    """So is an invalid offer, and all descriptors that came with it are closed."""
    with listeners(2) as theirs:
        line, socks = write_offer(theirs), list(theirs.values())
        for part, told in (
            (says(b"HTTP/1.1 400 Bad Request\r\n"), "not JSON"),
            (says(b'{"takeover": 2}\n', socks), "protocol version 2 instead"),
            (says(line), "2 sockets are named, 0"),
            (says(line, socks[:1]), "2 sockets are named, 1"),
            (says(line, [*socks, *socks]), "2 sockets are named, 4"),
            (says(line + b"{", socks), "too many bytes or descriptors"),
            (says(b"x" * (1 << 22) + b"xx", socks), "too many bytes or descriptors"),
        ):
            told = f"the running gateway sent an invalid offer: {told}"
            assert refusal(path, part).startswith(told)


def test_no_listening_sockets(path: str) -> None:
    """The passed descriptors must be listening sockets."""
    told = (
        "the running gateway sent an invalid offer: a passed descriptor is not a"
        " listening socket"
    )
    line = write_offer(["127.0.0.1:80"])
    with socket.socket() as fresh, open(os.devnull) as null:
        assert refusal(path, says(line, [fresh])) == told
        assert refusal(path, says(line, [null])) == told  # type: ignore[list-item]


def test_too_few_descriptors(path: str) -> None:
    """
    If there are too few descriptors the error says so, and none of them stays open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listeners(40) as theirs:
        part = says(write_offer(theirs), list(theirs.values()))
        with OldGateway(path, part):
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + 20, hard))
            try:
                with pytest.raises(CannotTakeOver, match=r"\(ulimit -n\)$"):
                    take(path)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_somebody_else(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from another user, not even a question is asked."""
    heard: list[bytes] = []
    me = os.geteuid()
    module = "lbconsul.takeover.client.trusted_users"
    monkeypatch.setattr(module, lambda also: frozenset({me + 1, *also}))
    told = refusal(path, lambda client: heard.extend(hear_all(client)))
    assert told == (
        f"the process there runs as user {me}, which is neither this user nor root"
    )
    assert heard == []
    # Unless this process is going to run as that user.
    with OldGateway(path, says(write_offer([]))):
        taken = take(path, also=[me])
        assert taken is not None
        taken.close()
    assert me in trusted_users()


def test_not_to_be_connected_to(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that may not be connected to is one line of error as well."""

    class Barred(socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Barred)
    with pytest.raises(CannotTakeOver, match=r": cannot be connected to: Permission"):
        take(path)


@pytest.mark.parametrize(
    "before",
    [
        lambda client: None,
        hear,
        lambda client: (hear(client), client.sendall(b'{"takeover": 1, "soc')),
    ],
    ids=["at once", "asked", "amid the answer"],
)
def test_asked_again(path: str, before: Part) -> None:
    """
    After a close without an answer the client asks again: other takeovers were first.
    """
    with listeners(2) as theirs:
        answer = says(write_offer(theirs), list(theirs.values()))
        with OldGateway(path, before, before, answer):
            taken = has(path)
            assert list(taken.sockets) == list(theirs)
            taken.close()


def test_dies_meanwhile(path: str) -> None:
    """If no process listens any more then, it is a normal start."""
    with OldGateway(path, hear):
        assert take(path) is None


def test_hangs(path: str) -> None:
    """
    A gateway that never answers, or byte by byte, is waited for until the deadline.
    """
    for part in (
        hear_all,
        lambda client: _trickle(client, b'{"takeover": 1' + b" " * 1000),
    ):
        begun = time.monotonic()
        assert refusal(path, part, within=0.5) == (
            "the running gateway hands nothing over within 0.5 s"
        )
        assert time.monotonic() - begun > 0.4


def _trickle(client: socket.socket, data: bytes) -> None:
    try:
        for number in range(len(data)):
            client.sendall(data[number : number + 1])
            time.sleep(0.05)
    except OSError:
        pass


def test_queue_full(path: str) -> None:
    """One with too many before us is asked again until the deadline."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(0)
        with connect(path):
            with pytest.raises(CannotTakeOver, match=r"hands nothing over within 0.3"):
                take(path, within=0.3)
            accept(sock).close()
