"""The TLVs of the PROXY protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.net.proxy_tlvs import (
    ALPN,
    AUTHORITY,
    SSL,
    TLV,
    ClientTLS,
    read_tlvs,
    write_tlvs,
)

TLVS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))).map(tuple)

TEXTS = st.text(max_size=70)


def test_written() -> None:
    """A TLV is its type, the length of its value in two bytes, and the value."""
    tlvs = ((ALPN, b"h2"), (AUTHORITY, b"x" * 258), (0xE0, b""))
    block = b"\x01\x00\x02h2" + b"\x02\x01\x02" + b"x" * 258 + b"\xe0\x00\x00"
    assert write_tlvs(tlvs) == block
    assert read_tlvs(block) == tlvs


@given(TLVS)
def test_read_as_written(tlvs: tuple[TLV, ...]) -> None:
    """TLVs arrive in their order, those of one type and of unknown types as well."""
    assert read_tlvs(write_tlvs(tlvs)) == tlvs


@pytest.mark.parametrize("block", [b"\x01", b"\x01\x00", b"\x01\x00\x01", b"\0\0\0\1"])
def test_cut_short(block: bytes) -> None:
    """TLVs that do not end where their block ends are none."""
    assert read_tlvs(block) is None


def test_too_long() -> None:
    """A value longer than its length can say is refused."""
    write_tlvs([(SSL, bytes(65535))])
    with pytest.raises(ValueError, match="65536 bytes is longer than 65535"):
        write_tlvs([(SSL, bytes(65536))])


def test_tls_of_a_client() -> None:
    """The SSL TLV has the layout of its specification, and lacks what is not known."""
    tls = ClientTLS(
        version="TLSv1.3",
        has_certificate=True,
        is_verified=True,
        common_name="Zoë",
        cipher="TLS_AES_128_GCM_SHA256",
    )
    value = (
        b"\x07\0\0\0\0"
        b"\x21\x00\x07TLSv1.3"
        b"\x22\x00\x04Zo\xc3\xab"
        b"\x23\x00\x16TLS_AES_128_GCM_SHA256"
    )
    assert tls.write() == value
    assert ClientTLS.read(value) == tls
    assert ClientTLS().write() == b"\x01\0\0\0\1"


@given(
    st.builds(
        ClientTLS,
        version=TEXTS,
        has_certificate=st.just(True),
        is_verified=st.booleans(),
        common_name=TEXTS,
        cipher=TEXTS,
        signature_algorithm=TEXTS,
        key_algorithm=TEXTS,
    )
)
def test_tls_read_as_written(tls: ClientTLS) -> None:
    """What one proxy says of a client's TLS, the next one reads."""
    assert ClientTLS.read(tls.write()) == tls


def test_not_verified() -> None:
    """A client without a certificate is not verified, whatever the TLV says of it."""
    for client, is_verified in [(0x01, False), (0x03, True), (0x05, True)]:
        tls = ClientTLS.read(bytes([client, 0, 0, 0, 0]))
        assert tls is not None
        assert tls.is_verified is is_verified
    tls = ClientTLS.read(b"\x07\0\0\0\x0a")
    assert tls == ClientTLS(has_certificate=True)
    assert ClientTLS(is_verified=True).write() == b"\x01\0\0\0\1"


@pytest.mark.parametrize(
    "value", [b"", b"\x01\0\0\0", b"\0\0\0\0\1", b"\x01\0\0\0\1\x21\0\x01"]
)
def test_no_tls(value: bytes) -> None:
    """A client without TLS has none, nor is any read from a malformed TLV."""
    assert ClientTLS.read(value) is None


def test_any_bytes_in_texts() -> None:
    """A text that is no UTF-8 is read with replacement characters."""
    tls = ClientTLS.read(b"\x01\0\0\0\1\x22\0\x02\xffa")
    assert tls == ClientTLS(common_name="\ufffda")
