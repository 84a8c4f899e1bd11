"""What the log says of certificates in use, and how often."""

import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent

from lbconsul.gateway.certificate_problems import SHOWN, CertificateProblems
from lbconsul.tls.certificates import ServerCertificate
from lbconsul.tls.pem import PEM
from lbconsul.tls.server import ClientVerification
from tests.support.certificates import Authority, load_certificates, together

HOUR, DAY = 3600.0, 86400.0


def made(folder: Path, *names: str) -> list[tuple[str, ServerCertificate]]:
    """Certificates that end in 90 days, and lack nothing."""
    authority = Authority(folder)
    found = []
    for name in names:
        issued = authority.issue(name, end=timedelta(days=90))
        path = together(folder / f"{name}.pem", issued.cert, authority.file, issued.key)
        found += [("443:web", each) for each in load_certificates("tls", path)]
    return found


def told(
    problems: CertificateProblems,
    certificates: Collection[tuple[str, ServerCertificate | ClientVerification]],
    now: float,
) -> list[str]:
    """What is logged when it is looked at certificates."""
    with capturedLogs() as events:
        for _ in problems.reporting(certificates, now):
            pass
    return [formatEvent(each) for each in events]


def test_what_expires(tmp_path: Path) -> None:
    """From 14 days before its end on there is a warning a day, then it is expired."""
    problems, found = CertificateProblems(), made(tmp_path, "a")
    [(_, certificate)] = found
    end = certificate.not_after
    assert told(problems, found, end - 15 * DAY) == []
    [line] = told(problems, found, end - 13.5 * DAY)
    assert line.startswith(
        f"443:web: {tmp_path}/a.pem: the certificate expires soon, on 20"
    )
    assert told(problems, found, end - 13 * DAY) == []
    assert told(problems, found, end - 12.5 * DAY) == [line]
    [expired] = told(problems, found, end + HOUR)
    assert "a.pem: the certificate expired on 20" in expired
    assert told(problems, found, end + 2 * HOUR) == []
    assert told(problems, found, end + 2 * DAY) == [expired]


def test_lists_that_end(tmp_path: Path) -> None:
    """From a day before a list of revoked certificates is out of date, or the last
    quarter of its time, there is a warning a day.
    """
    problems, authority = CertificateProblems(), Authority(tmp_path)
    crl = PEM.read("client-crl", authority.revoke()).revocation_lists()
    now = time.time()
    for lists in (), tuple(crl):
        found = [("443:web: client-crl", ClientVerification((), revoked=lists))]
        assert told(problems, found, now) == []
    assert told(problems, found, now + 17 * HOUR) == []
    [soon] = told(problems, found, now + 18 * HOUR)
    assert "client-crl: the list of CN=authority is out of date soon, on 20" in soon
    assert told(problems, found, now + 20 * HOUR) == []
    [line] = told(problems, found, now + 2 * DAY)
    assert (
        "443:web: client-crl: the list of CN=authority is out of date since 20" in line
    )
    assert told(problems, found, now + 2.5 * DAY) == []
    assert told(problems, found, now + 3.5 * DAY) == [line]


def test_a_list_that_is_in_use_for_long(tmp_path: Path) -> None:
    """A list of revoked certificates that is in use for a month warns a day before."""
    problems, authority = CertificateProblems(), Authority(tmp_path)
    month = PEM.read("client-crl", authority.revoke(end=timedelta(days=30)))
    verification = ClientVerification((), revoked=tuple(month.revocation_lists()))
    now = time.time()
    assert told(problems, [("client-crl", verification)], now + 28.9 * DAY) == []
    [line] = told(problems, [("client-crl", verification)], now + 29.1 * DAY)
    assert "is out of date soon" in line


def test_what_else_is_wrong(tmp_path: Path) -> None:
    """What does not get worse is told once, and again if it is back."""
    problems, found = CertificateProblems(), made(tmp_path, "a")
    before = found[0][1].not_before - HOUR
    [line] = told(problems, found, before)
    assert "is not valid before" in line
    assert told(problems, found, before + 1) == []
    assert told(problems, [], before + 2) == []
    assert told(problems, found, before + 3) == [line]


def test_many(tmp_path: Path) -> None:
    """Of very many lines the first are told, and how many more there are."""
    [one] = made(tmp_path, "a")
    found = [(f"{port}:web", one[1]) for port in range(SHOWN + 2)]
    lines = told(CertificateProblems(), found, one[1].not_after + 1)
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "2 more problems with certificates: --check names them all"
