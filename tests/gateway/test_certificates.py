"""Certificates of a running gateway: read again as they change, all or none."""

import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.logger import capturedLogs

from lbconsul.admin.status_json import status
from lbconsul.admin.status_model import MappingStatus
from lbconsul.config.build import configure
from lbconsul.config.model import Config, Mapping
from lbconsul.errors import ConfigError
from lbconsul.gateway import certificates
from lbconsul.gateway.history import HistoryRecorder
from lbconsul.gateway.status import StatusCollector
from lbconsul.process.clock import WallClock
from lbconsul.process.reactor_lag import Lag
from lbconsul.service import Gateway
from tests.support.certificates import Authority, together
from tests.support.consul_agent import ConsulAgent
from tests.support.loopback import listening
from tests.support.mappings import altered
from tests.support.ports import free_ports
from tests.support.running_gateway import Started, local, of, serve, texts
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import PATIENCE, eventually
from tests.support.workers import frozen, one_by_one


@define
class Site:
    """A folder of certificates, and the port that serves them."""

    folder: Path
    authority: Authority
    port: int
    consul: str

    def put(self, file: str, *names: str, **options: Any) -> Path:
        """A certificate for these names in a file of this name, at once."""
        issued = self.authority.issue("new", names=names, **options)
        new = self.folder / "new"
        together(new, issued.cert, issued.key)
        return new.rename(self.folder / file)

    def config(self, options: str = "", **others: str) -> Config:
        """The configuration of a mapping with these certificates."""
        words = f"127.0.0.1:{self.port}:web,tls={self.folder}{options}"
        return configure([self.consul], [words], **others)

    def pem(self, *names: str) -> bytes:
        """A certificate for these names, and its key."""
        return self.put("a.pem", *names).read_bytes()

    def shown(self, name: str = "") -> set[str]:
        """The names of the certificate that a client gets who asks for a name."""
        context = ssl.create_default_context(cafile=self.authority.file)
        context.check_hostname = False
        with (
            socket.create_connection(local(self.port), PATIENCE) as sock,
            context.wrap_socket(sock, server_hostname=name or None) as client,
        ):
            certificate = client.getpeercert()
        alternatives: Any = (certificate or {})["subjectAltName"]
        return {value for _, value in alternatives}


@pytest.fixture
def site(tmp_path: Path, no_consul: str) -> Site:
    """A site without certificates."""
    folder = tmp_path / "certs"
    folder.mkdir()
    [port] = free_ports(1)
    return Site(folder, Authority(tmp_path), port, no_consul)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY", 0.05)


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    """An instance that accepts."""
    with listening() as server:
        yield server


def each_process(gateway: Gateway) -> Iterator[int]:
    """Each process that serves, while it gets all clients."""
    pids = [each.pid for each in getattr(gateway.data_plane, "workers", ())]
    return one_by_one([each for each in pids if each] or [os.getpid()])


@pytest.mark.process
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_key_in_a_file_of_its_own(
    running: ReactorThread, site: Site, upstream: socket.socket, workers: str
) -> None:
    """While a key is not that of its certificate the pair before stays in use."""
    issued = site.authority.issue("a.example.com")
    Path(issued.cert).rename(site.folder / "a.pem")
    Path(issued.key).rename(site.folder / "a.pem.key")
    gateway = Gateway(running.reactor, site.config(workers=workers))
    with capturedLogs() as events, Started(running, gateway):
        serve(running, gateway, of(upstream))
        eventually(lambda: gateway.data_plane.is_serving, "it serves")
        assert site.shown() == {"a.example.com"}
        key = ec.generate_private_key(ec.SECP256R1())
        issued = site.authority.issue("b.example.com", key=key)
        Path(issued.cert).rename(site.folder / "a.pem")
        fits = f"{site.folder}/a.pem.key: the private key does not fit"
        eventually(lambda: fits in "".join(texts(events)), "it is told")
        assert site.shown() == {"a.example.com"}
        Path(issued.key).rename(site.folder / "a.pem.key")
        for _ in each_process(gateway):
            eventually(lambda: site.shown() == {"b.example.com"}, "it is in use")


@pytest.mark.process
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_that_changes(
    running: ReactorThread, site: Site, upstream: socket.socket, workers: str
) -> None:
    """New clients get what is in the folder now; a connection goes on with the old."""
    site.put("a.pem", "a.example.com")
    gateway = Gateway(running.reactor, site.config(workers=workers))
    with capturedLogs() as events, Started(running, gateway):
        serve(running, gateway, of(upstream))
        eventually(lambda: gateway.data_plane.is_serving, "it serves")
        assert site.shown() == {"a.example.com"}
        site.put("a.pem", "new.example.com")
        site.put("b.pem", "b.example.com")
        # Each worker turns to them by itself.
        for _ in each_process(gateway):
            eventually(lambda: site.shown() == {"new.example.com"}, "the new one")
            eventually(lambda: site.shown("b.example.com") == {"b.example.com"}, "both")
    assert any(
        f"127.0.0.1:{site.port}:web: the certificates of {site.folder} have changed:"
        in line
        for line in texts(events)
    )


def test_admin_listener(running: ReactorThread, site: Site) -> None:
    """
    The admin listener has its own, follows its files as a mapping does, and keeps what
    it has while they cannot be used.
    """
    pem = site.put("a.pem", "a.example.com")
    options = {"admin": f"127.0.0.1:{site.port}", "admin_tls": str(pem)}
    config = configure([site.consul], [f"127.0.0.1:{free_ports(1)[0]}:web"], **options)
    gateway = Gateway(running.reactor, config)
    with capturedLogs() as events, Started(running, gateway):
        assert gateway.admin_address == f"https://127.0.0.1:{site.port}/"
        assert site.shown() == {"a.example.com"}
        good = pem.read_bytes()
        pem.write_bytes(good[:-40])
        eventually(
            lambda: any(
                each.startswith(f"admin: tls {pem}, line 12: ")
                and each.endswith("; the certificates read before stay in use")
                for each in texts(events)
            ),
            "it is told",
        )
        assert site.shown() == {"a.example.com"}
        site.put("a.pem", "b.example.com")
        eventually(lambda: site.shown() == {"b.example.com"}, "the new one")
        told = f"admin: the certificates of {pem} have changed: 1 in use"
        eventually(lambda: told in texts(events), "it is told")


def test_admin_listener_without_certificate(running: ReactorThread, site: Site) -> None:
    """A gateway does not start with an admin listener that could not serve."""
    options = {"admin": f"127.0.0.1:{site.port}", "admin_tls": f"{site.folder}/a.pem"}
    config = configure([site.consul], [f"127.0.0.1:{free_ports(1)[0]}:web"], **options)
    with pytest.raises(ConfigError, match=r"^admin: tls .*a.pem: cannot be read: No"):
        Gateway(running.reactor, config)


@pytest.mark.process
def test_a_worker_that_dies(
    running: ReactorThread, site: Site, upstream: socket.socket
) -> None:
    """The worker that replaces another one serves what is in the folder then."""
    site.put("a.pem", "a.example.com")
    gateway = Gateway(running.reactor, site.config(workers="2"))
    with Started(running, gateway):
        serve(running, gateway, of(upstream))
        eventually(lambda: gateway.data_plane.is_serving, "both serve")
        site.put("a.pem", "b.example.com")
        eventually(lambda: site.shown() == {"b.example.com"}, "the new one")
        old, other = (each.pid for each in gateway.data_plane.workers)
        assert old is not None and other is not None
        os.kill(old, signal.SIGKILL)

        def is_new() -> bool:
            new = {each.pid for each in gateway.data_plane.workers}
            return gateway.data_plane.is_serving and old not in new

        eventually(is_new, "a new worker serves")
        with frozen(other):  # so that all clients are for the new one
            assert site.shown() == {"b.example.com"}


def test_many_times_under_load(
    running: ReactorThread, site: Site, upstream: socket.socket
) -> None:
    """No handshake fails while the certificates are swapped thirty times."""
    site.put("a.pem", "0.example.com")
    gateway = Gateway(running.reactor, site.config())
    failed, shown, is_over = list[Exception](), list[str](), threading.Event()

    def come() -> None:
        while not is_over.is_set():
            try:
                shown.extend(site.shown())
            except (OSError, ValueError) as error:
                failed.append(error)

    threads = [threading.Thread(target=come) for _ in range(2)]
    with Started(running, gateway):
        serve(running, gateway, of(upstream))
        for each in threads:
            each.start()
        try:
            for number in range(1, 31):
                site.put("a.pem", f"{number}.example.com")
                running.call(gateway.reload, gateway.config)
                new = f"{number}.example.com"
                eventually(lambda new=new: new in shown, "the new one")  # type: ignore[misc]
        finally:
            is_over.set()
            for each in threads:
                each.join()
    assert not failed


def test_hundreds(
    running: ReactorThread,
    site: Site,
    upstream: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of hundreds of certificates each client gets the one for its server name."""
    monkeypatch.setattr(certificates, "LOOK_EVERY", 1.0)
    key = ec.generate_private_key(ec.SECP256R1())
    for number in range(300):
        site.put(f"{number:03}.pem", f"{number}.example.com", key=key)
    gateway = Gateway(running.reactor, site.config())
    with Started(running, gateway):
        serve(running, gateway, of(upstream))
        for name in ("0.example.com", "167.example.com", "299.example.com"):
            assert site.shown(name) == {name}
        site.put("167.pem", "new.example.com", key=key)
        name = "new.example.com"
        eventually(lambda: site.shown(name) == {name}, "the new one")
        assert site.shown("167.example.com") == {"0.example.com"}


def test_a_broken_file(
    running: ReactorThread, site: Site, upstream: socket.socket
) -> None:
    """What is broken is told once, and the whole folder stays as it was."""
    site.put("a.pem", "a.example.com")
    gateway = Gateway(running.reactor, site.config())
    with capturedLogs() as events, Started(running, gateway):
        serve(running, gateway, of(upstream))
        before = gateway.certificates.of(gateway.config.mappings[0].tls)
        assert before is not None
        server = before.server
        (site.folder / "b.pem").write_text("\n-----BEGIN PRIVATE KEY-----\n")
        site.put("a.pem", "new.example.com")
        eventually(lambda: before.error, "the error")
        assert site.shown() == {"a.example.com"}
        touched = site.put("c.pem", "c.example.com")
        eventually(lambda: _knows(gateway, touched), "another look")
        assert before.server is server
        lines = [line for line in texts(events) if "b.pem" in line]
        assert lines == [
            f"127.0.0.1:{site.port}:web: tls {site.folder}/b.pem, line 2: BEGIN PRIVATE"
            " KEY without its END; the certificates read before stay in use"
        ]
        with pytest.raises(ConfigError, match=r"b\.pem, line 2"):
            running.call(gateway.reload, gateway.config)
        assert site.shown() == {"a.example.com"}
        (site.folder / "b.pem").unlink()
        eventually(lambda: site.shown() == {"new.example.com"}, "all that is valid")
        assert not before.error
        (site.folder / "b.pem").write_text("nothing")
        eventually(lambda: before.error, "the error")
        (site.folder / "b.pem").unlink()
        eventually(lambda: not before.error, "the recovery")
    assert any(
        f":web: the certificates of {site.folder} are those in use again" in line
        for line in texts(events)
    )


def _knows(gateway: Gateway, path: Path) -> bool:
    [served] = gateway.certificates._served.values()
    return str(path) in str(served.stamp)


def test_a_reload(
    running: ReactorThread,
    site: Site,
    upstream: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reload reads files again though no option changed; else all stays as it is."""
    monkeypatch.setattr(certificates, "LOOK_EVERY", 1e6)
    path = site.put("a.pem", "a.example.com")
    gateway = Gateway(running.reactor, site.config())
    with capturedLogs() as events, Started(running, gateway):
        serve(running, gateway, of(upstream))
        tls = gateway.config.mappings[0].tls
        before = gateway.certificates.of(tls)
        assert before is not None
        running.call(gateway.reload, site.config())
        same = gateway.certificates.of(tls)
        assert same is not None and same.server is before.server
        site.put("a.pem", "b.example.com")
        running.call(gateway.reload, site.config())
        assert site.shown() == {"b.example.com"}
        running.call(gateway.reload, site.config(",tls-min=1.3"))
        assert gateway.certificates.of(tls) is None
        assert site.shown() == {"b.example.com"}
        path.unlink()
        with pytest.raises(ConfigError, match=r"holds no \*.pem file"):
            running.call(gateway.reload, site.config())
    [line] = [line for line in texts(events) if "have changed" in line]
    assert line.endswith(
        f":web: the certificates of {site.folder} have changed: 1 in use"
    )


def test_other_revoked_certificates(
    running: ReactorThread, site: Site, upstream: socket.socket
) -> None:
    """A new list of revoked certificates is used, and the log names it."""
    site.put("a.pem", "a.example.com")
    crl = site.authority.revoke()
    options = f",client-ca={site.authority.file},client-crl={crl}"
    gateway = Gateway(running.reactor, site.config(options))
    with capturedLogs() as events, Started(running, gateway):
        serve(running, gateway, of(upstream))
        site.authority.revoke(end=timedelta(days=2))
        changed = ":web: client-ca or client-crl has changed, and is in use"
        eventually(lambda: any(changed in line for line in texts(events)), "the line")
    assert not any("have changed" in line for line in texts(events))


def test_the_status(
    running: ReactorThread, site: Site, upstream: socket.socket
) -> None:
    """The status has what is in use, and why newer certificates are not; no key."""
    site.put("a.pem", "a.example.com")
    gateway = Gateway(running.reactor, site.config())
    with Started(running, gateway):
        wall = WallClock(running.reactor.seconds)
        recorder = HistoryRecorder(running.reactor, gateway)
        source = StatusCollector(
            gateway, 0.0, wall, Lag(running.reactor), history=recorder
        )

        def shown() -> MappingStatus:
            [mapping] = running.call(lambda: list(source.mappings()))
            return mapping

        [row] = shown().certificates
        assert (row.source, row.names) == (
            f"{site.folder}/a.pem",
            ("a.example.com",),
        )
        assert (row.days_left, row.state) == (89, "valid")
        assert (shown().certificates_in_use, shown().certificates_error) == (1, "")
        (site.folder / "b.pem").write_text("nothing")
        eventually(lambda: "b.pem" in shown().certificates_error, "the error")
        assert shown().certificates == (row,)
        document = b"".join(running.call(lambda: list(status(source))))
        assert b"PRIVATE" not in document
        [told] = json.loads(document)["mappings"]
        assert told["certificates"][0]["fingerprint"] == row.fingerprint


def test_at_the_start(running: ReactorThread, site: Site) -> None:
    """A gateway does not start with certificates that cannot be used."""
    with pytest.raises(ConfigError, match=r"holds no \*.pem file"):
        Gateway(running.reactor, site.config())


def test_a_mapping_of_a_program(
    running: ReactorThread, site: Site, held: ExitStack
) -> None:
    """A mapping that a program adds has its certificates read, and keeps them."""
    site.put("a.pem", "a.example.com")
    config = configure([site.consul], [f"127.0.0.1:{site.port}:web"])
    gateway = Gateway(running.reactor, config)
    with Started(running, gateway):
        own = altered(Mapping("own"), tls=str(site.folder))
        running.call(gateway.proxy_factory, own)
        running.call(gateway.reload, config)
        served = gateway.certificates.of(own.tls)
        assert served is not None and len(served.certificates) == 1
        wrong = altered(Mapping("own"), tls="/no/such.pem")
        with pytest.raises(ConfigError, match=r"own: tls /no/such.pem: cannot be read"):
            running.call(gateway.proxy_factory, wrong)


def test_what_is_warned_of(running: ReactorThread, site: Site) -> None:
    """Certificates that expire soon are in the log from the start."""
    issued = site.authority.issue("a.example.com")
    together(site.folder / "a.pem", issued.cert, issued.key)
    gateway = Gateway(running.reactor, site.config())
    with capturedLogs() as events, Started(running, gateway):
        eventually(
            lambda: any("the chain is missing" in line for line in texts(events)),
            "the warning",
        )


@pytest.mark.consul
@pytest.mark.parametrize("workers", ["1", "2"])
def test_certificates_of_consul(
    running: ReactorThread,
    site: Site,
    upstream: socket.socket,
    consul: ConsulAgent,
    workers: str,
) -> None:
    """Clients wait for Consul's first certificates, and then get what it has."""
    mapping = f"127.0.0.1:{site.port}:web,tls=consul:certs{workers}/,connect-timeout=1s"
    config = configure([f"127.0.0.1:{consul.port}"], [mapping], workers=workers)

    def put(key: str, value: bytes) -> None:
        consul.api("PUT", f"/v1/kv/certs{workers}/{key}", value)

    gateway = Gateway(running.reactor, config)
    with capturedLogs() as events, Started(running, gateway):
        [mapping_] = gateway.config.mappings
        blocks = gateway.certificates.blocks
        eventually(lambda: "no such key" in blocks(mapping_), "the first answer")
        assert blocks(mapping_).startswith("tls consul:")
        serve(running, gateway, of(upstream))
        waiting = socket.create_connection(local(site.port), PATIENCE)
        waiting.settimeout(0.5)
        with waiting, pytest.raises(TimeoutError):
            waiting.recv(1)
        assert not gateway.knows(wholly=False)
        put("a", site.pem("a.example.com"))
        eventually(lambda: not blocks(mapping_), "certificates")
        assert site.shown() == {"a.example.com"}
        put("b", site.pem("b.example.com"))
        for _ in each_process(gateway):
            eventually(lambda: site.shown("b.example.com") == {"b.example.com"}, "both")
        served = gateway.certificates.of(mapping_.tls)
        assert served is not None
        put("c", b"no certificate")
        eventually(lambda: "holds no PEM certificate" in served.error, "the error")
        consul.api("DELETE", f"/v1/kv/certs{workers}?recurse")
        eventually(lambda: "no such key" in served.error, "the other error")
        assert site.shown("b.example.com") == {"b.example.com"}
        running.call(gateway.reload, config)
        assert site.shown("b.example.com") == {"b.example.com"}
    said = [line for line in texts(events) if "stay in use" in line]
    begin = f"127.0.0.1:{site.port}:web: tls consul:certs{workers}/"
    assert said == [
        f"{begin}c: holds no PEM certificate; the certificates read before stay in use",
        f"{begin}: there is no such key, or ACLs hide it from the token; the"
        " certificates read before stay in use",
    ]


@pytest.mark.consul
def test_another_consul(
    running: ReactorThread, site: Site, consul: ConsulAgent
) -> None:
    """Why there are no certificates is told; a reload asks another Consul for them."""
    mapping = f"127.0.0.1:{site.port}:web,tls=consul:other/a,connect-timeout=100ms"
    consul.api("PUT", "/v1/kv/other/a", site.pem("a.example.com"))
    gateway = Gateway(running.reactor, configure([site.consul], [mapping]))
    with Started(running, gateway):
        [served] = gateway.config.mappings
        eventually(
            lambda: "consul:other/a: Connection" in gateway.certificates.blocks(served),
            "the reason",
        )
        address = f"127.0.0.1:{consul.port}"
        running.call(gateway.reload, configure([address], [mapping]))
        assert site.shown() == {"a.example.com"}
        plain = f"127.0.0.1:{site.port}:web"
        running.call(gateway.reload, configure([address], [plain]))
        assert not gateway.certificates._keys.prefixes


def test_a_bug(
    running: ReactorThread, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one look does not keep the gateway from the next."""
    site.put("a.pem", "a.example.com")
    gateway = Gateway(running.reactor, site.config())
    seen = []

    def broken(tls: object) -> Iterator[bool]:
        seen.append(tls)
        raise RuntimeError("a bug of this test")

    monkeypatch.setattr(certificates, "stamping", broken)
    with Started(running, gateway):
        eventually(lambda: len(seen) > 2, "more looks")
    assert all("a bug of this test" in each for each in running._observer.found)
    running._observer.found.clear()
