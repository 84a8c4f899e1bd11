"""The certificates for some TLS options: what is in use, and why nothing newer is."""

from attrs import define

from lbconsul.config.model import TLS
from lbconsul.tls.certificates import ServerCertificate
from lbconsul.tls.material import Material
from lbconsul.tls.server import TLSServer


@define(eq=False)
class ServedCertificates:
    """The certificates for some TLS options."""

    tls: TLS
    #: A mapping that has these options, as text.
    mapping: str
    #: What files and keys were like when they were last read.
    stamp: object = None
    #: Both are None before Consul's first answer.
    material: Material | None = None
    server: TLSServer | None = None
    #: Why newer certificates are not in use; empty if they are.
    error: str = ""

    @property
    def certificates(self) -> tuple[ServerCertificate, ...]:
        """The certificates in use."""
        return () if self.server is None else self.server.certificates
