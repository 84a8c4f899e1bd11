"""What the status shows of certificates."""

from datetime import timedelta
from pathlib import Path

from lbconsul.config.model import TLS
from lbconsul.gateway.certificate_status import SHOWN, CertificateRows
from lbconsul.steps import finish
from lbconsul.tls.material import building, reading
from tests.support.certificates import Authority, together

DAY = 86400.0


def test_rows(tmp_path: Path) -> None:
    """Those that end first come first, each with its state; very many are cut."""
    authority, folder = Authority(tmp_path), tmp_path / "certs"
    folder.mkdir()
    for number in range(SHOWN + 1):
        name = f"{number}.example.com"
        end = timedelta(days=200 - number, minutes=5)
        issued = authority.issue(name, end=end, begin=timedelta(days=-1))
        together(folder / f"{name}.pem", issued.cert, issued.key)
    tls = TLS(str(folder))
    server = finish(building(tls, finish(reading("web", tls)), lambda: 0.0))
    rows = CertificateRows()
    now = server.certificates[0].not_before + DAY
    first = rows.of(server, now)
    assert len(first) == SHOWN
    assert first[0].names == ("50.example.com",)
    assert first[0].source == f"{folder}/50.example.com.pem"
    assert (first[0].days_left, first[0].state) == (150, "valid")
    assert len(first[0].fingerprint) == 64
    assert rows.of(server, now + 60) is first
    assert rows.of(server, now - 2 * DAY)[0].state == "early"
    assert rows.of(server, now + 140 * DAY)[0].state == "expiring"
    late = rows.of(server, now + 151 * DAY)
    assert [(each.days_left, each.state) for each in late[:2]] == [
        (-1, "expired"),
        (0, "expiring"),
    ]
