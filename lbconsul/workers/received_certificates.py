"""A worker's side of the certificates: collects the texts, and makes use of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import Factory, define

from lbconsul.config.model import TLS
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.process.clock import WallClock
from lbconsul.steps import Steps
from lbconsul.workers.messages import CertificatesChunk

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.tls.material import PEMText
    from lbconsul.tls.server import TLSServer


@define(eq=False)
class ReceivedCertificates:
    """Makes of the master's texts what clients are served with, in slices."""

    _sweeper: TimeSlicer
    _wall: WallClock
    #: Called with what new clients are to be served with.
    _use: "Callable[[TLS, TLSServer], None]"
    #: The texts that have come so far.
    _texts: "dict[TLS, list[PEMText]]" = Factory(dict)
    #: The steps still to do.
    _steps: dict[TLS, Steps[None]] = Factory(dict)

    def take(self, chunk: CertificatesChunk) -> None:
        """Take one command; with the last of some options their certificates change."""
        if chunk.is_first:
            self._texts[chunk.tls] = []
        self._texts[chunk.tls] += chunk.certificates
        if not chunk.is_last:
            return
        late = self._steps.pop(chunk.tls, None)
        if late is not None:
            self._sweeper.drop(late)
        steps = self._steps[chunk.tls] = self._building(chunk)
        self._sweeper.begin(steps)

    def _building(self, chunk: CertificatesChunk) -> Steps[None]:
        # Imported here: OpenSSL takes memory that other workers do without.
        from lbconsul.tls.material import Material, building

        tls, texts = chunk.tls, self._texts.pop(chunk.tls)
        material = Material(tuple(texts), chunk.client_ca, chunk.client_crl)
        server = yield from building(tls, material, self._wall.now)
        self._steps.pop(tls, None)
        self._use(tls, server)
