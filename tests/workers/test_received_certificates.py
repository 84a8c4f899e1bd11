"""What a worker makes of the certificates that it is sent."""

from pathlib import Path

from attrs import evolve
from twisted.internet.task import Clock

from lbconsul.config.model import TLS
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.process.clock import WallClock
from lbconsul.steps import finish
from lbconsul.tls.material import reading
from lbconsul.tls.server import TLSServer
from lbconsul.workers.messages import CertificatesChunk
from lbconsul.workers.received_certificates import ReceivedCertificates
from tests.support.certificates import Authority, together


def test_the_last_is_used(tmp_path: Path) -> None:
    """They are used once all are there; what comes meanwhile replaces them."""
    authority = Authority(tmp_path)
    for name in ("a", "b"):
        issued = authority.issue(name)
        together(tmp_path / f"{name}.pem", issued.cert, issued.key)
    (tmp_path / "authority.pem").unlink()
    tls = TLS(str(tmp_path))
    a, b = finish(reading("web", tls)).certificates
    clock, used = Clock(), list[tuple[TLS, TLSServer]]()
    slicer = TimeSlicer(clock)
    received = ReceivedCertificates(
        slicer, WallClock(clock.seconds), lambda *each: used.append(each)
    )
    first = CertificatesChunk(tls, (a,))
    last = CertificatesChunk(tls, (b,), is_first=False, is_last=True)
    received.take(first)
    assert not used
    received.take(last)
    assert [names(server) for _, server in used] == [["a", "b"]]
    slicer._not_before = 5.0  # a pause is under way
    received.take(first)
    received.take(last)
    received.take(evolve(last, is_first=True))
    clock.advance(5)
    assert [names(server) for _, server in used[1:]] == [["b"]]


def names(server: TLSServer) -> list[str]:
    """The names of a server's certificates."""
    return [name for each in server.certificates for name in each.names]
