"""Certificates as the status shows them."""

from math import floor
from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.admin.status_model import CertificateStatus
from lbconsul.tls.certificates import WARN_DAYS, ServerCertificate
from lbconsul.tls.server import TLSServer

#: Most certificates of a mapping that are shown, and most names of one.
SHOWN = 50

#: How long rows are used again, in seconds: they are asked for every second.
_KEPT = 600.0


_Rows = tuple[CertificateStatus, ...]


@define(eq=False)
class CertificateRows:
    """The rows of certificates: few change, and there may be thousands."""

    #: The rows, and when they were made.
    _rows: "WeakKeyDictionary[TLSServer, tuple[float, _Rows]]" = Factory(
        WeakKeyDictionary
    )

    def of(self, server: TLSServer, now: float) -> _Rows:
        """The certificates that end first; `now` is in seconds since the epoch."""
        since, rows = self._rows.get(server, (0.0, ()))
        if not 0 <= now - since < _KEPT:
            found = sorted(server.certificates, key=lambda each: each.not_after)
            rows = tuple(_row(each, now) for each in found[:SHOWN])
            self._rows[server] = now, rows
        return rows


def _row(certificate: ServerCertificate, now: float) -> CertificateStatus:
    days_left = certificate.days_left(now)
    state = "expiring" if days_left < WARN_DAYS else "valid"
    if not certificate.is_valid(now):
        state = "expired" if days_left < 0 else "early"
    return CertificateStatus(
        source=certificate.source,
        names=certificate.names[:SHOWN],
        state=state,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        days_left=floor(days_left),
        fingerprint=certificate.fingerprint,
    )
