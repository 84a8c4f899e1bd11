"""What a handshake told of a client, in the words of the log."""

from lbconsul.proxy.client_info import ClientInfo, facts_text
from lbconsul.tls.peer import PeerCertificate, TLSPeer


def test_nothing_is_known() -> None:
    """A client of which nothing is known has no facts."""
    assert ClientInfo().facts() == {}


def test_facts() -> None:
    """A fact that could be mistaken for several words of the line is in quotes."""
    facts = ClientInfo(via=("192.0.2.7", 4000), error="not now").facts()
    assert facts == {"via": "192.0.2.7:4000", "error": "not now"}
    assert facts_text(facts) == ' via="192.0.2.7:4000" error="not now"'


def test_certificate() -> None:
    """Of a client's certificate the log has names and fingerprint, on one line."""
    names = ("alice.example.com", "mailto:alice\n@example.com", *"abcdef")
    certificate = PeerCertificate("Alice\nB", names, "00ff")
    peer = TLSPeer("TLSv1.3", "TLS_AES_128_GCM_SHA256", certificate)
    assert ClientInfo(server_name="example.com", tls=peer).facts() == {
        "sni": "example.com",
        "cn": "Alice B",
        "san": "a, alice.example.com, b, c, d and 3 more",
        "fingerprint": "00ff",
    }


def test_no_certificate() -> None:
    """A client of TLS without a certificate is no one by name."""
    assert ClientInfo(tls=TLSPeer("TLSv1.3", "x", None)).facts() == {}
