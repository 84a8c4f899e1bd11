"""The certificates for some TLS options: what is in use, and why nothing newer is."""

from collections.abc import Iterator

from attrs import define

from lbconsul.config.model import TLS
from lbconsul.tls.certificates import ServerCertificate
from lbconsul.tls.material import Material
from lbconsul.tls.server import ClientVerification, TLSServer


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

    def may_expire(
        self,
    ) -> Iterator[tuple[str, ServerCertificate | ClientVerification]]:
        """What is in use and may expire, with the mapping or option that names it."""
        for each in self.certificates:
            yield self.mapping, each
        if self.server is not None and self.server.verification is not None:
            where = f"{self.mapping}: client-crl {self.tls.client_crl}"
            yield where, self.server.verification

    def change_since(self, before: Material | None) -> str:
        """What is different from the texts that were in use before."""
        source, now = self.tls.certificates, self.material
        if before and now and before.certificates == now.certificates:
            return f"{self.mapping}: client-ca or client-crl has changed, and is in use"
        count = len(self.certificates)
        return (
            f"{self.mapping}: the certificates of {source} have changed: {count} in use"
        )
