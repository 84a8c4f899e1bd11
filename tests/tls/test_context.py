"""What every context has, whichever side it is for."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from lbconsul.errors import ConfigError
from lbconsul.tls import openssl
from lbconsul.tls.context import client_certificate, new_context, read_authorities
from lbconsul.tls.pem import PEM
from tests.support.certificates import Authority, with_broken_name


def test_suites() -> None:
    """The suites are those of Mozilla's intermediate configuration, and no others."""
    suites = SSL.Connection(new_context("1.2")).get_cipher_list()
    assert suites == [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ]


@pytest.mark.parametrize("groups", ["", "no-such-group"])
def test_groups_that_openssl_does_not_know(
    groups: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library without the groups, or the function, keeps its own; nothing is left."""
    if not groups:
        monkeypatch.setattr(openssl, "_lib", object())
    openssl.set_groups(SSL.Context(SSL.TLS_METHOD), groups)
    monkeypatch.undo()
    assert not openssl._lib.ERR_peek_error()


def test_a_certificate_that_openssl_refuses(tmp_path: Path) -> None:
    """A certificate that cannot be shown is refused at the start, with the reason."""
    key = rsa.generate_private_key(65537, 1024)
    own = Authority(tmp_path).issue("gateway", key=key)
    with pytest.raises(ConfigError) as refused:
        client_certificate(PEM.read("--cert", own.cert), PEM.read("--key", own.key))
    assert str(refused.value) == f"--cert {own.cert}: OpenSSL: ee key too small"


def test_an_authority_that_openssl_refuses(tmp_path: Path) -> None:
    """An authority that cannot be trusted is refused in one line, with the reason."""
    file = Authority(tmp_path, "own").file
    broken = with_broken_name(tmp_path / "broken.pem", file, "own", kind=12)
    with pytest.raises(ConfigError) as refused:
        read_authorities(PEM.read("--ca", broken))
    [line] = str(refused.value).splitlines()
    assert line.startswith(f"--ca {broken}: OpenSSL: ")
    assert "invalid utf8string" in line
