"""The listening socket of a mapping."""

import contextlib
import errno
import os
import socket
import stat
import tempfile
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.config.listen import (
    Listen,
    SystemdListen,
    TCPListen,
    UnixListen,
)
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.net.listening_socket import BorrowedSocket, OwnedSocket, open_socket
from tests.support.descriptors import descriptors
from tests.support.loopback import accept, connect
from tests.support.ports import free_ports


class BindTestCase(SynchronousTestCase):
    """Opens sockets, and closes them behind itself."""

    def setUp(self) -> None:
        self.held = contextlib.ExitStack()
        self.addCleanup(self.held.close)

    def open(self, listen: Listen, mode: int = 0o660, **passed: int) -> socket.socket:
        """The socket of a mapping that listens so."""
        mapping = Mapping("web", listen, unix_mode=mode)
        return self.held.enter_context(open_socket(mapping, passed))

    def folder(self) -> str:
        """A folder that is gone after the test."""
        return self.held.enter_context(tempfile.TemporaryDirectory())

    def refusal(self, listen: Listen, **passed: int) -> OSError:
        """Why there is no such socket."""
        try:
            self.open(listen, **passed)
        except OSError as error:
            return error
        raise AssertionError("it could be opened")

    def assert_serves(self, sock: socket.socket) -> None:
        """The socket takes clients, without ever blocking for one."""
        self.assertFalse(sock.getblocking())
        with connect(sock.getsockname()) as client, accept(sock) as served:
            served.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")


class OwnSocketTests(BindTestCase):
    """The owner of a listening socket opens and closes it."""

    def test_opened_once(self) -> None:
        """
        The socket is opened once, however often it is asked for, until it is closed.
        """
        own = OwnedSocket(Mapping("web", TCPListen("127.0.0.1", 0)))
        own.close()
        sock = own.open()
        address = sock.getsockname()
        self.assertIs(own.open(), sock)
        self.assert_serves(sock)
        own.close()
        own.close()
        with self.assertRaises(ConnectionRefusedError):
            connect(address)
        self.assert_serves(own.open())
        own.close()

    def test_copies(self) -> None:
        """Its address is free at once, though a worker still has a copy of it."""
        own = OwnedSocket(Mapping("web", TCPListen("127.0.0.1", 0)))
        address = own.open().getsockname()
        with own.open().dup():
            own.close()
            self.assert_serves(self.open(TCPListen(*address)))

    def test_unix(self) -> None:
        """The file of a UNIX socket goes with it, and may be gone before."""
        path = self.folder() + "/web.sock"
        own = OwnedSocket(Mapping("web", UnixListen(path)))
        for gone in (False, True):
            own.open()
            if gone:
                os.unlink(path)
            own.close()
            self.assertFalse(os.path.exists(path))

    def test_the_error_names_mapping_and_reason(self) -> None:
        """The error is one line that names the mapping and the reason."""
        own = OwnedSocket(Mapping("web", SystemdListen("front")), {"back": 0})
        with self.assertRaises(CannotListen) as raised:
            own.open()
        self.assertEqual(
            str(raised.exception),
            "cannot listen on systemd:front for --map systemd:front:web: systemd"
            " passed no socket with that name; it passed: back",
        )


class HandedOverTests(BindTestCase):
    """The socket that another gateway had before, and has still."""

    def handed(self, listen: Listen, mode: int = 0o660, **passed: int) -> OwnedSocket:
        """The inherited socket of a mapping that listens at the same address."""
        own = OwnedSocket(Mapping("web", listen, unix_mode=mode), passed)
        self.held.callback(own.close)
        return own

    def test_tcp(self) -> None:
        """
        It is the same socket with the same queue, and each process closes its own copy.
        """
        theirs = self.open(TCPListen("127.0.0.1", 0))
        listen = TCPListen(*theirs.getsockname())
        own = self.handed(listen, **{str(listen): theirs.fileno()})
        self.assertIsNone(own.sock)
        with connect(theirs.getsockname()) as client:
            with accept(own.open()) as served:
                served.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
        self.assertIs(own.sock, own.open())
        self.assert_serves(own.open())
        own.close()
        self.assert_serves(theirs)

    def test_another_address(self) -> None:
        """An inherited socket of another address is not used."""
        theirs = self.open(TCPListen("127.0.0.1", 0))
        [port] = free_ports(1)
        own = self.handed(
            TCPListen("127.0.0.1", port), **{"127.0.0.1:1": theirs.fileno()}
        )
        self.assertEqual(own.open().getsockname(), ("127.0.0.1", port))

    def test_unix(self) -> None:
        """The file is theirs until they are gone; it gets the mode that we want."""
        path = self.folder() + "/web.sock"
        theirs = self.open(UnixListen(path))
        own = self.handed(UnixListen(path), 0o666, **{f"unix:{path}": theirs.fileno()})
        for is_shared in (True, False):
            self.assert_serves(own.open())
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o666)
            self.assertTrue(own.is_shared)
            own.is_shared = is_shared
            own.close()
            self.assertEqual(os.path.exists(path), is_shared)

    def test_unix_without_its_file(self) -> None:
        """A UNIX socket whose file is gone is bound again."""
        path = self.folder() + "/web.sock"
        theirs = self.open(UnixListen(path))
        os.unlink(path)
        own = self.handed(UnixListen(path), **{f"unix:{path}": theirs.fileno()})
        self.assert_serves(own.open())
        self.assertFalse(own.is_shared)
        own.close()
        self.assertFalse(os.path.exists(path))

    def test_systemd(self) -> None:
        """A socket from systemd comes before an inherited one of the same name."""
        theirs = self.open(TCPListen("127.0.0.1", 0))
        newer = self.open(TCPListen("127.0.0.1", 0))
        passed = {"systemd:web": theirs.fileno()}
        for expected, names in ((theirs, {}), (newer, {"web": newer.fileno()})):
            own = self.handed(SystemdListen("web"), **passed, **names)
            self.assertEqual(own.open().getsockname(), expected.getsockname())
            self.assert_serves(own.open())

    def test_handed_on(self) -> None:
        """A file that another gateway has taken over is left alone."""
        path = self.folder() + "/web.sock"
        own = self.handed(UnixListen(path))
        theirs = self.held.enter_context(own.open().dup())
        self.assertFalse(own.is_shared)
        own.is_shared = True
        own.close()
        self.assert_serves(theirs)
        self.assertTrue(os.path.exists(path))


class LentSocketTests(BindTestCase):
    """The socket of another process."""

    def test_left_to_its_owner(self) -> None:
        """To close our copy leaves the owner's, and its file, as they are."""
        path = self.folder() + "/web.sock"
        owner = self.open(UnixListen(path))
        lent = BorrowedSocket(owner.dup())
        self.assert_serves(lent.open())
        lent.close()
        self.assert_serves(owner)


class TCPTests(BindTestCase):
    """TCP addresses."""

    def test_ipv4(self) -> None:
        """
        The socket takes clients at its address, and those send small pieces at once.
        """
        [port] = free_ports(1)
        sock = self.open(TCPListen("127.0.0.1", port))
        self.assertEqual(sock.getsockname(), ("127.0.0.1", port))
        self.assert_serves(sock)
        with connect(sock.getsockname()), accept(sock) as served:
            self.assertTrue(served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_ipv6(self) -> None:
        """An IPv6 address is as good."""
        self.assert_serves(self.open(TCPListen("::1", 0)))

    def test_every_ipv6_beside_every_ipv4(self) -> None:
        """Every IPv6 and every IPv4 address are two things, on one port too."""
        [port] = free_ports(1)
        four = self.open(TCPListen("0.0.0.0", port))
        six = self.open(TCPListen("::", port))
        for sock, address in ((four, "127.0.0.1"), (six, "::1")):
            with connect((address, port)), accept(sock) as served:
                self.assertEqual(served.getpeername()[0], address)

    def test_the_port_is_free_after_a_restart(self) -> None:
        """A port is free again at once, though old connections still linger on it."""
        first = self.open(TCPListen("127.0.0.1", 0))
        address = first.getsockname()
        with connect(address) as client:
            accept(first).close()
            first.close()
            self.assert_serves(self.open(TCPListen(*address)))
            self.assertEqual(client.recv(1), b"")

    def test_taken(self) -> None:
        """A port on which another process listens cannot be bound."""
        other = self.open(TCPListen("127.0.0.1", 0))
        self.assertEqual(
            self.refusal(TCPListen(*other.getsockname())).errno, errno.EADDRINUSE
        )

    def test_not_ours(self) -> None:
        """Nor can an address that the machine does not have."""
        error = self.refusal(TCPListen("192.0.2.1", 80))
        self.assertEqual(error.errno, errno.EADDRNOTAVAIL)


class UnixTests(BindTestCase):
    """UNIX sockets."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder() + "/web.sock"

    def test_mode(self) -> None:
        """Its file has the mapping's permissions, whatever the umask says."""
        self.addCleanup(os.umask, os.umask(0o077))
        for mode in (0o660, 0o666, 0o600):
            with self.open(UnixListen(self.path), mode) as sock:
                self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), mode)
                self.assert_serves(sock)
            os.unlink(self.path)

    def test_leftover(self) -> None:
        """A socket left behind by a dead process is no obstacle."""
        self.open(UnixListen(self.path)).close()
        self.assertTrue(os.path.exists(self.path))
        self.assert_serves(self.open(UnixListen(self.path)))

    def test_taken(self) -> None:
        """A UNIX socket with a listening process is left to it."""
        other = self.open(UnixListen(self.path))
        error = self.refusal(UnixListen(self.path))
        self.assertEqual(error.errno, errno.EADDRINUSE)
        accept(other).close()  # the probe for a listening process
        self.assert_serves(other)

    def test_taken_and_busy(self) -> None:
        """Also if they are too busy to answer: we do not wait for it."""
        other = self.held.enter_context(socket.socket(socket.AF_UNIX))
        other.bind(self.path)
        other.listen(0)
        self.held.enter_context(connect(self.path))
        error = self.refusal(UnixListen(self.path))
        self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_no_socket(self) -> None:
        """A file that is no socket is left as it is."""
        Path(self.path).write_text("precious")
        error = self.refusal(UnixListen(self.path))
        self.assertEqual(error.errno, errno.EADDRINUSE)
        self.assertEqual(Path(self.path).read_text(), "precious")

    def test_no_folder(self) -> None:
        """A folder that is not there is not made."""
        error = self.refusal(UnixListen(f"{self.path}.d/web.sock"))
        self.assertEqual(error.errno, errno.ENOENT)

    def test_nothing_is_left_open(self) -> None:
        """A bind that fails closes its socket."""
        before = descriptors()
        self.refusal(UnixListen(f"{self.path}.d/web.sock"))
        self.assertEqual(descriptors() - before, frozenset())


class SystemdTests(BindTestCase):
    """Sockets that systemd passes in."""

    def test_inherited(self) -> None:
        """One is found by its name, and stays open for the next start."""
        passed = self.open(TCPListen("127.0.0.1", 0))
        sock = self.open(SystemdListen("web"), web=passed.fileno(), other=0)
        self.assertNotEqual(sock.fileno(), passed.fileno())
        self.assert_serves(sock)
        sock.close()
        self.assert_serves(passed)

    def test_unix(self) -> None:
        """A socket from systemd may be a UNIX socket."""
        path = self.folder() + "/web.sock"
        passed = self.open(UnixListen(path))
        self.assert_serves(self.open(SystemdListen("web"), web=passed.fileno()))

    def test_an_unknown_name(self) -> None:
        """
        If systemd passed no socket with the name, the error lists the names that it
        did.
        """
        self.assertEqual(
            str(self.refusal(SystemdListen("web"), admin=0, other=0)),
            "systemd passed no socket with that name; it passed: admin, other",
        )
        self.assertEqual(
            str(self.refusal(SystemdListen("web"))),
            "systemd passed no socket with that name; it passed: none",
        )


class AlterTests(BindTestCase):
    """Other options for the same address."""

    def test_mode(self) -> None:
        """The file of a UNIX socket gets other permissions if other ones are asked."""
        path = f"{self.folder()}/web.sock"
        mapping = Mapping("web", UnixListen(path))
        source = OwnedSocket(mapping)
        source.alter(evolve(mapping, unix_mode=0o600))  # it is not open yet
        source.open()
        self.addCleanup(source.close)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        os.chmod(path, 0o640)
        source.alter(evolve(source.mapping, service="mail"))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        source.alter(evolve(source.mapping, unix_mode=0o666))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o666)
        self.assertEqual(str(source.mapping), f"unix:{path}:mail")
        os.unlink(path)
        with self.assertRaises(OSError):
            source.alter(evolve(source.mapping, unix_mode=0o600))

    def test_tcp(self) -> None:
        """A port has none."""
        mapping = Mapping("web", TCPListen("127.0.0.1", 0))
        source = OwnedSocket(mapping)
        source.open()
        self.addCleanup(source.close)
        source.alter(evolve(mapping, unix_mode=0o600))
        self.assertEqual(source.mapping.unix_mode, 0o600)
