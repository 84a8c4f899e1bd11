"""When clients are accepted, turned by hand."""

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import IService
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.config.listen import (
    Listen,
    SystemdListen,
    TCPListen,
    UnixListen,
)
from lbconsul.config.model import Limits, Mapping
from lbconsul.errors import CannotListen
from lbconsul.net import listening_socket
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.sockets import BareSocket
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.listener import (
    ACCEPT_BOUND,
    STARVED_PAUSE,
    Listener,
)
from tests.support import loopback
from tests.support.recording_reactor import RecordingReactor

LOOPBACK = TCPListen("127.0.0.1", 0)


@define(eq=False)
class Taker:
    """Takes the clients that a listener accepts."""

    mapping: Mapping
    connection_limit: ConnectionLimit = Factory(lambda: ConnectionLimit(Clock()))
    taken: list[tuple[BareSocket, object]] = Factory(list)
    open: int = 0
    trouble: Exception | None = None
    then: Callable[[], object] = lambda: None
    max_connections: int = field(init=False)
    #: What the listener said last of whether it accepts.
    is_reading: bool = False

    def __attrs_post_init__(self) -> None:
        self.max_connections = self.mapping.limits.connections

    def on_reading(self, is_reading: bool) -> None:
        self.is_reading = is_reading

    def connected(self, client: BareSocket, address: object, /) -> None:
        self.then()
        if self.trouble is not None:
            raise self.trouble
        self.taken.append((client, address))
        self.open += 1


class ListenerTestCase(SynchronousTestCase):
    """A listener, and clients that the test plays."""

    def setUp(self) -> None:
        self.reactor = RecordingReactor()
        self.clients: list[socket.socket] = []
        self.held = contextlib.ExitStack()
        self.addCleanup(self.held.close)

    def listener(
        self, max_connections: int = 0, listen: Listen = LOOPBACK, **passed: int
    ) -> tuple[Taker, Listener]:
        """A listener without a bound socket, and a proxy for its clients."""
        mapping = Mapping("web", listen, limits=Limits(connections=max_connections))
        taker = Taker(mapping)
        listener = Listener(
            self.reactor, self.reactor, taker, OwnedSocket(mapping, passed)
        )
        self.addCleanup(listener.close)
        self.addCleanup(self.close_taken, taker)
        return taker, listener

    def folder(self) -> str:
        """A folder that is gone after the test."""
        return self.held.enter_context(tempfile.TemporaryDirectory())

    def started(self, max_connections: int = 0) -> tuple[Taker, Listener]:
        """A listener that accepts."""
        taker, listener = self.listener(max_connections)
        listener.privilegedStartService()
        listener.startService()
        return taker, listener

    def close_taken(self, taker: Taker) -> None:
        for client, _ in taker.taken:
            client.close()

    def connect(self, listener: Listener, count: int = 1) -> list[socket.socket]:
        """So many clients in the listener's queue."""
        return [
            self.held.enter_context(loopback.connect(listener.address))
            for _ in range(count)
        ]

    def end(self, taker: Taker, listener: Listener, count: int = 1) -> None:
        """So many connections are over."""
        for _ in range(count):
            client, _ = taker.taken.pop(0)
            client.close()
            taker.open -= 1
            listener.connection_ended()


class LifeTests(ListenerTestCase):
    """From the start to the stop."""

    def test_interfaces(self) -> None:
        """The listener is a Twisted service and a reader for the reactor."""
        _, listener = self.listener()
        self.assertTrue(verifyObject(IService, listener))
        self.assertTrue(verifyObject(IReadDescriptor, listener))
        self.assertEqual((listener.fileno(), listener.logPrefix()), (-1, "listener"))

    def test_accepts(self) -> None:
        """Clients are handed on with their address, and never block us."""
        taker, listener = self.started()
        [client] = self.connect(listener)
        self.reactor.settle()
        [(sock, address)] = taker.taken
        self.assertEqual(address, client.getsockname())
        self.assertEqual(sock.gettimeout(), 0.0)
        client.sendall(b"hello")
        self.assertEqual(sock.recv(5), b"hello")

    def test_owner_learns_when_it_accepts(self) -> None:
        """The owner knows whether clients are accepted, whatever stops that."""
        taker, listener = self.started(max_connections=1)
        self.assertTrue(taker.is_reading)
        self.connect(listener)
        self.reactor.settle()
        self.assertFalse(taker.is_reading)
        self.end(taker, listener)
        self.assertTrue(taker.is_reading)
        listener.starved()
        self.assertFalse(taker.is_reading)
        self.reactor.advance(STARVED_PAUSE)
        self.assertTrue(taker.is_reading)
        listener.stopService()
        self.assertFalse(taker.is_reading)

    def test_bound_early(self) -> None:
        """A bound listener keeps its clients in the queue until it is started."""
        taker, listener = self.listener()
        listener.bind()
        address = listener.address
        self.connect(listener)
        self.reactor.settle()
        self.assertEqual(taker.taken, [])
        listener.bind()
        listener.privilegedStartService()
        listener.startService()
        self.reactor.settle()
        self.assertEqual((len(taker.taken), listener.address), (1, address))

    def test_start_without_privileges(self) -> None:
        """A service that is added to a running one binds when it starts."""
        taker, listener = self.listener()
        listener.startService()
        self.connect(listener)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 1)

    def test_a_stopped_listener_refuses(self) -> None:
        """A stopped listener refuses; what it accepted before is left alone."""
        taker, listener = self.started()
        address = listener.address
        [client] = self.connect(listener)
        self.reactor.settle()
        listener.stopService()
        with self.assertRaises(ConnectionRefusedError):
            loopback.connect(address)
        self.assertEqual(self.reactor.reading(), set())
        taker.taken[0][0].send(b"still here")
        self.assertEqual(client.recv(100), b"still here")
        listener.connection_ended()
        self.assertEqual(self.reactor.reading(), set())
        listener.close()

    def test_start_again(self) -> None:
        """The listener can be started again."""
        taker, listener = self.started()
        listener.stopService()
        listener.startService()
        self.connect(listener)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 1)

    def test_stop_removes_the_unix_socket(self) -> None:
        """A UNIX socket's file goes with it, and may be gone before."""
        path = self.folder() + "/web.sock"
        for gone in (False, True):
            taker, listener = self.listener(listen=UnixListen(path))
            listener.startService()
            self.connect(listener)
            self.reactor.settle()
            self.assertEqual([address for _, address in taker.taken], [""])
            if gone:
                os.unlink(path)
            listener.stopService()
            self.assertFalse(os.path.exists(path))

    def test_inherited(self) -> None:
        """A socket that systemd passed in is listened on, and stays open."""
        with loopback.listening() as passed:
            taker, listener = self.listener(
                listen=SystemdListen("web"), web=passed.fileno()
            )
            listener.startService()
            self.connect(listener)
            self.reactor.settle()
            self.assertEqual(len(taker.taken), 1)
            listener.stopService()
            loopback.connect(passed.getsockname()).close()

    def test_a_dropped_socket_is_logged(self) -> None:
        """
        If the reactor drops the socket, the log says so, and the gateway survives.
        """
        taker, listener = self.started()
        self.reactor.removeReader(listener)
        with capturedLogs() as events:
            listener.connectionLost(Failure(ValueError("because")))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"{taker.mapping}: the reactor dropped the listener: no new clients"],
        )
        self.assertEqual(events[0]["log_failure"].value.args, ("because",))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        listener.stopService()

    def test_ended_by_its_owner(self) -> None:
        """Where the process that bound a socket has ended it, no word is lost on it."""
        _, listener = self.started()
        assert listener._sock is not None
        listener._sock.shutdown(socket.SHUT_RDWR)
        with capturedLogs() as events:
            listener.doRead()
            listener.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(list(events), [])
        self.assertEqual(self.reactor.getReaders(), [])
        listener.stopService()


class CannotListenTests(ListenerTestCase):
    """The one line that says why there is no listening socket."""

    def assert_line(self, listen: Listen, line: str, **passed: int) -> None:
        """Both binding and starting fail with the same error."""
        _, listener = self.listener(listen=listen, **passed)
        for open_it in (
            listener.bind,
            listener.privilegedStartService,
            listener.startService,
        ):
            with self.assertRaises(CannotListen) as raised:
                open_it()
            self.assertEqual(str(raised.exception), line)
        self.assertEqual(self.reactor.reading(), set())

    def test_taken(self) -> None:
        """The error names the address, the mapping and the reason."""
        with loopback.listening() as other:
            port = other.getsockname()[1]
            self.assert_line(
                TCPListen("127.0.0.1", port),
                f"cannot listen on 127.0.0.1:{port} for --map"
                f" 127.0.0.1:{port}:web: Address already in use",
            )

    def test_every_address(self) -> None:
        """A mapping reads as it was written."""
        with loopback.listening() as other:
            port = other.getsockname()[1]
            self.assert_line(
                TCPListen("0.0.0.0", port),
                f"cannot listen on 0.0.0.0:{port} for --map"
                f" {port}:web: Address already in use",
            )

    def test_unix(self) -> None:
        """Likewise for a UNIX socket; what stands at its path is left alone."""
        path = self.folder() + "/web.sock"
        with open(path, "w") as file:
            file.write("precious")
        self.assert_line(
            UnixListen(path),
            f"cannot listen on unix:{path} for --map unix:{path}:web:"
            " Address already in use",
        )
        self.assertTrue(os.path.exists(path))

    def test_systemd(self) -> None:
        """The same holds for a socket that systemd did not pass."""
        self.assert_line(
            SystemdListen("web"),
            "cannot listen on systemd:web for --map systemd:web:web: systemd passed no"
            " socket with that name; it passed: admin",
            admin=0,
        )


class PaceTests(ListenerTestCase):
    """How many are accepted, and when."""

    def test_bound_of_a_turn(self) -> None:
        """A crowd is let in a part at a time, so that others have their turn."""
        taker, listener = self.started()
        self.connect(listener, ACCEPT_BOUND + 6)
        self.reactor.turn()
        self.assertEqual(len(taker.taken), ACCEPT_BOUND)
        self.reactor.turn()
        self.assertEqual(len(taker.taken), ACCEPT_BOUND + 6)

    def test_few_at_once(self) -> None:
        """Where several accept from one queue, each leaves the others some."""
        taker = Taker(Mapping("web", LOOPBACK))
        source = OwnedSocket(taker.mapping)
        listener = Listener(self.reactor, self.reactor, taker, source, 2)
        self.addCleanup(self.close_taken, taker)
        listener.startService()
        self.connect(listener, 3)
        self.reactor.turn()
        self.assertEqual(len(taker.taken), 2)
        listener.stopService()

    def test_limit(self) -> None:
        """
        At the limit clients wait in the kernel's queue, in their order, and
        each is let in when one leaves.
        """
        taker, listener = self.started(max_connections=3)
        clients = self.connect(listener, 5)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 3)
        self.assertEqual(self.reactor.reading(), set())
        self.end(taker, listener)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 3)
        self.assertEqual(taker.taken[-1][1], clients[3].getsockname())
        self.end(taker, listener, 2)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 2)
        self.assertEqual(self.reactor.reading(), {listener.fileno()})

    def test_limit_at_the_start(self) -> None:
        """A listener that starts at its limit waits for an end, too."""
        taker, listener = self.listener(max_connections=1)
        taker.open = 1
        listener.startService()
        self.connect(listener)
        self.reactor.settle()
        self.assertEqual(taker.taken, [])
        taker.open = 0
        listener.connection_ended()
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 1)

    def test_end_while_not_full(self) -> None:
        """An end that makes no difference makes none."""
        taker, listener = self.started()
        self.connect(listener, 2)
        self.reactor.settle()
        self.end(taker, listener)
        self.assertEqual(self.reactor.reading(), {listener.fileno()})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_trouble_with_a_client(self) -> None:
        """
        An error of ours costs the client it happened with, is in the log with
        its traceback, and the next client is served.
        """
        taker, listener = self.started()
        taker.trouble = RuntimeError("a bug")
        [client] = self.connect(listener)
        with capturedLogs() as events:
            self.reactor.settle()
        self.assertEqual(client.recv(1), b"")
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"{taker.mapping}: client lost"],
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        taker.trouble = None
        self.connect(listener)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 1)


class RoomTests(ListenerTestCase):
    """Listeners of one process, which has room for so many connections."""

    def setUp(self) -> None:
        super().setUp()
        self.room = ConnectionLimit(self.reactor, 4)
        self.takers: list[Taker] = []

    def acquire(self) -> None:
        """Count one more connection, as proxies do."""
        self.room.taken += 1

    def release(self) -> None:
        """Count one less, as proxies do."""
        self.room.taken -= 1
        self.room.serve()

    def started(self, max_connections: int = 0) -> tuple[Taker, Listener]:
        mapping = Mapping("web", LOOPBACK, limits=Limits(connections=max_connections))
        taker = Taker(mapping, self.room)
        taker.then = self.acquire
        listener = Listener(self.reactor, self.reactor, taker, OwnedSocket(mapping))
        self.addCleanup(self.close_taken, taker)
        self.addCleanup(listener.close)
        self.takers.append(taker)
        listener.startService()
        return taker, listener

    def end(self, taker: Taker, listener: Listener, count: int = 1) -> None:
        """So many connections are over, one a turn."""
        for _ in range(count):
            self.release()
            super().end(taker, listener)
            self.settle()

    def settle(self) -> None:
        """Turn until nothing is to be done."""
        self.reactor.settle()
        self.reactor.advance(0)
        self.reactor.settle()

    def taken(self) -> list[int]:
        """How many each has."""
        return [len(taker.taken) for taker in self.takers]

    def test_a_full_process_leaves_clients_in_the_queue(self) -> None:
        """
        When the process is full the clients of every mapping wait in the
        kernel's queue, and nothing turns meanwhile.
        """
        one, other = self.started(), self.started()
        self.connect(one[1], 3)
        self.settle()
        self.connect(other[1], 3)
        self.settle()
        self.assertEqual(self.taken(), [3, 1])
        self.connect(one[1])
        self.settle()
        self.assertEqual(self.taken(), [3, 1])
        self.assertEqual(self.reactor.reading(), set())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_end_of_any_connection(self) -> None:
        """When a connection of one ends, a client of another one may come in."""
        one, other = self.started(), self.started()
        self.connect(one[1], 4)
        self.settle()
        self.connect(other[1], 2)
        self.settle()
        self.assertEqual(self.taken(), [4, 0])
        self.end(*one)
        self.assertEqual(self.taken(), [3, 1])
        self.end(*one)
        self.assertEqual(self.taken(), [2, 2])
        self.end(*one)
        self.assertEqual((self.taken(), self.room.taken), ([1, 2], 3))
        self.assertEqual(self.reactor.reading(), {one[1].fileno(), other[1].fileno()})

    def test_in_turn(self) -> None:
        """
        One whose clients come in crowds does not keep the others' out, though
        it is its own connections that end.
        """
        crowded, one, other = (self.started() for _ in range(3))
        self.connect(crowded[1], 50)
        self.settle()
        self.connect(one[1], 8)
        self.connect(other[1], 8)
        self.settle()
        self.assertEqual(self.taken(), [4, 0, 0])
        self.end(*crowded, 3)
        self.assertEqual(sorted(self.taken()), [1, 1, 2])
        for _ in range(6):
            for each in (crowded, one, other):
                self.end(*each)
                self.assertEqual(self.room.taken, 4)
                self.assertLessEqual(max(self.taken()) - min(self.taken()), 2)
        self.assertTrue(all(taker.taken for taker in self.takers))

    def test_nobody_in_its_queue(self) -> None:
        """
        A listener that waits without a client leaves its place to one that has a
        client.
        """
        idle, late = self.started(), self.started()
        self.connect(late[1], 4)
        self.settle()
        [client] = self.connect(idle[1])
        self.settle()
        accepted, _ = idle[1]._source.open().accept()
        accepted.close()
        client.close()
        self.connect(late[1], 2)
        self.settle()
        self.end(*late)
        self.assertEqual((self.taken(), self.room.taken), ([0, 4], 4))
        self.connect(idle[1])
        self.settle()
        self.end(*late)
        self.end(*late)
        self.assertEqual((self.taken(), self.room.taken), ([1, 3], 4))

    def test_several_at_once(self) -> None:
        """When many end in one turn as many come in."""
        one, other = self.started(), self.started()
        self.connect(one[1], 4)
        self.settle()
        self.connect(one[1], 3)
        self.connect(other[1], 3)
        self.settle()
        for _ in range(4):
            self.release()
            super().end(*one)
        self.settle()
        self.assertEqual(self.taken(), [2, 2])

    def test_own_limit(self) -> None:
        """A listener at its own limit leaves the room to others, and has its turn."""
        limited, other = self.started(max_connections=1), self.started()
        self.connect(limited[1], 3)
        self.settle()
        self.connect(other[1], 6)
        self.settle()
        self.assertEqual(self.taken(), [1, 3])
        self.end(*other)
        self.assertEqual(self.taken(), [1, 3])
        self.end(*limited)
        self.assertEqual(self.room.taken, 4)
        self.end(*other, 3)
        self.assertEqual(self.taken(), [1, 2])
        self.assertEqual(limited[0].open, 1)

    def test_clients_that_are_not_let_in(self) -> None:
        """A client that access rules turn away takes no place: the next one gets it."""
        one, other = self.started(), self.started()
        self.connect(other[1], 4)
        self.settle()
        self.connect(one[1], 100)
        self.settle()
        one[0].then = bool
        self.end(*other)
        self.settle()
        self.settle()
        self.assertEqual((self.taken(), self.room.taken), ([100, 3], 3))

    def test_starved_in_its_turn(self) -> None:
        """
        A listener that finds no descriptor in its turn tries again a little later.
        """
        _, listener = self.started()
        self.connect(listener, 5)
        self.settle()
        with capturedLogs():
            self.release()
            with loopback.no_descriptor_left():
                self.reactor.advance(0)
        self.settle()
        self.assertEqual((self.taken(), self.reactor.reading()), ([4], set()))
        self.reactor.advance(STARVED_PAUSE)
        self.settle()
        self.assertEqual(self.taken(), [5])

    def test_starved_before_its_turn(self) -> None:
        """A listener that lacks descriptors passes its turn to the next one."""
        one, other = self.started(), self.started()
        self.connect(one[1], 5)
        self.settle()
        self.connect(other[1])
        self.settle()
        with capturedLogs():
            one[1].starved()
        self.release()
        self.settle()
        self.assertEqual(self.taken(), [4, 1])
        self.release()
        self.reactor.advance(STARVED_PAUSE)
        self.settle()
        self.assertEqual(self.taken(), [5, 1])

    def test_over_at_once(self) -> None:
        """Clients whose connections are over as they begin are taken one by one."""
        taker, listener = self.started()
        self.connect(listener, 104)
        self.settle()

        def over() -> None:
            self.acquire()
            self.release()
            listener.connection_ended()

        taker.then = over
        self.end(taker, listener)
        for _ in range(3):
            self.settle()
        self.assertEqual((taker.open, self.room.taken), (103, 3))
        self.assertEqual(self.reactor.reading(), {listener.fileno()})

    def test_a_stopped_listener_gives_up_its_turn(self) -> None:
        """A stopped listener waits no longer, and holds up no other."""
        one, other = self.started(), self.started()
        self.connect(one[1], 4)
        self.settle()
        self.connect(other[1])
        self.connect(one[1])
        self.settle()
        other[1].stopService()
        self.end(*one)
        self.assertEqual(self.taken(), [4, 0])
        one[1].stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.room.queue, {})


class StarvedTests(ListenerTestCase):
    """A machine that has no descriptor for another client."""

    def starve(self, listener: Listener) -> list[str]:
        """Let it find that there is no descriptor; what the log says."""
        with capturedLogs() as events, loopback.no_descriptor_left():
            self.reactor.turn_until(lambda: not self.reactor.reading())
        for event in events:
            self.assertEqual(event["log_level"].name, "warn")
        return [formatEvent(event) for event in events]

    def test_pause(self) -> None:
        """
        The listener does not spin, tries again a little later, and serves every client.
        """
        taker, listener = self.started()
        self.connect(listener, 3)
        self.assertEqual(
            self.starve(listener),
            [
                f"{taker.mapping}: out of descriptors, ports or memory: new clients"
                " wait; 0 are open"
            ],
        )
        self.reactor.settle()
        self.assertEqual(taker.taken, [])
        self.reactor.advance(STARVED_PAUSE)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 3)

    def test_nothing_to_dial_with(self) -> None:
        """
        Without a descriptor to connect with, an accepted client is the last one until
        there is.
        """
        taker, listener = self.started()
        taker.then = listener.starved
        self.connect(listener, 3)
        with capturedLogs() as events:
            self.reactor.settle()
        self.assertEqual((len(taker.taken), len(events)), (1, 1))
        taker.then = bool
        self.reactor.advance(STARVED_PAUSE)
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 3)
        self.close_taken(taker)

    def test_end_of_a_connection(self) -> None:
        """When a connection ends there is a descriptor: it does not wait longer."""
        taker, listener = self.started()
        self.connect(listener)
        self.reactor.settle()
        self.connect(listener)
        self.starve(listener)
        self.end(taker, listener)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.settle()
        self.assertEqual(len(taker.taken), 1)

    def test_told_once(self) -> None:
        """The log tells of each time of need once, however often we looked."""
        _, listener = self.started()
        self.connect(listener)
        self.assertEqual(len(self.starve(listener)), 1)
        for _ in range(3):
            self.reactor.advance(STARVED_PAUSE)
            self.assertEqual(self.starve(listener), [])
        self.reactor.advance(STARVED_PAUSE)
        self.reactor.settle()
        self.connect(listener)
        self.assertEqual(len(self.starve(listener)), 1)

    def test_told_once_while_some_get_in(self) -> None:
        """The shortage is logged once until the queue is empty."""
        script = Script([errno.EMFILE, None, errno.EMFILE, None, errno.EMFILE])
        taker, listener = self.scripted(script)
        with capturedLogs() as events:
            for _ in range(3):
                listener.doRead()
                self.reactor.advance(STARVED_PAUSE)
        self.assertEqual((len(taker.taken), script.steps), (2, []))
        self.assertEqual(len(events), 1)

    def test_stop_while_starved(self) -> None:
        """A stop leaves no timer behind."""
        _, listener = self.started()
        self.connect(listener)
        self.starve(listener)
        listener.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_starved_after_the_stop(self) -> None:
        """A dial that outlives the listener may be starved, which is nothing to it."""
        _, listener = self.started()
        listener.stopService()
        listener.starved()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_client_that_left_the_queue(self) -> None:
        """A client that was gone before it was accepted does not matter."""
        for code in (errno.ECONNABORTED, errno.EPROTO, errno.ECONNRESET):
            taker, listener = self.scripted(Script([code, None, code, None]))
            with capturedLogs() as events:
                listener.doRead()
            self.assertEqual((len(taker.taken), events), (2, []))
            self.reactor.removeReader(listener)

    def test_error_of_another_kind(self) -> None:
        """An error that we know nothing of is in the log, and it tries again."""
        taker, listener = self.scripted(Script([errno.EINVAL, None]))
        with capturedLogs() as events:
            listener.doRead()
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"{taker.mapping}: accept failed"],
        )
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.reactor.reading(), set())
        self.reactor.advance(STARVED_PAUSE)
        listener.doRead()
        self.assertEqual(len(taker.taken), 1)

    def scripted(self, script: "Script") -> tuple[Taker, Listener]:
        """A listener whose socket accepts as a script says."""
        open_scripted: Callable[[Any, Any], Script] = lambda mapping, passed: script  # noqa: E731
        self.patch(listening_socket, "open_socket", open_scripted)
        self.held.enter_context(script.real)
        return self.started()


class Script:
    """A listening socket: each step is an error's number, or None for a client."""

    def __init__(self, steps: list[int | None]) -> None:
        self.steps = steps
        self.real = loopback.listening()
        self.fileno = self.real.fileno
        self.close = self.real.close
        self.shutdown = self.real.shutdown
        self.getsockopt = self.real.getsockopt
        self.family, self.type, self.proto = socket.AF_UNIX, self.real.type, 0

    def _accept(self) -> tuple[int, object]:
        if not self.steps:
            raise BlockingIOError
        code = self.steps.pop(0)
        if code is not None:
            raise OSError(code, os.strerror(code))
        ours, peer = socket.socketpair()
        peer.close()
        return ours.detach(), ""
