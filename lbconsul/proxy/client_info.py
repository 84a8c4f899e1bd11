"""What is known of a client from its handshake."""

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from lbconsul.net.proxy_protocol import Header
from lbconsul.net.sockets import address_text
from lbconsul.text import listed, one_line, quoted
from lbconsul.tls.peer import TLSPeer

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.tls.stream import TLSStream

#: Most characters of a common name in the log.
_NAME = 100


@frozen
class ClientInfo:
    """What is known of a client from its handshake, beyond its address."""

    #: The address of the proxy whose header names the client; None: there is none.
    via: object = None
    #: That proxy's header.
    header: Header | None = None
    #: The server name that the client asked for by TLS, if it did.
    server_name: str | None = None
    #: The client of TLS that ends here.
    tls: TLSPeer | None = None
    #: Why the handshake failed, in a few words.
    error: str = ""

    def facts(self) -> dict[str, str]:
        """What is known, by the names that the access log gives it."""
        facts = {
            "via": "" if self.via is None else address_text(self.via),
            "sni": self.server_name or "",
        }
        certificate = None if self.tls is None else self.tls.certificate
        if certificate is not None:
            facts["cn"] = one_line(certificate.common_name, _NAME)
            facts["san"] = listed(certificate.alternative_names)
            facts["fingerprint"] = certificate.fingerprint
        facts["error"] = self.error
        return {name: value for name, value in facts.items() if value}


def with_tls(info: ClientInfo | None, stream: "TLSStream") -> ClientInfo:
    """What is known, and what a stream's handshake says of the client."""
    # Imported here: OpenSSL takes memory that other mappings do without.
    from lbconsul.tls.inspection import peer_of, server_name_of

    connection = stream.connection
    return evolve(
        info or ClientInfo(),
        server_name=server_name_of(connection),
        tls=peer_of(connection),
    )


def facts_text(facts: dict[str, str]) -> str:
    """Facts as the end of a log line: each after a space, as ``name=value``."""
    return "".join(f" {name}={quoted(value)}" for name, value in facts.items())
