"""What every context has, whichever side it is for."""

import pytest
from OpenSSL import SSL

from lbconsul.tls import openssl
from lbconsul.tls.context import new_context


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
