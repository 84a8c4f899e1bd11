"""The TLVs of the PROXY protocol, version 2.  Pure.

Sections are those of https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt; a TLV
is a type and a value (2.2).
"""

import struct
from collections.abc import Iterable

from attrs import frozen

#: The type of a TLV, and its value.
TLV = tuple[int, bytes]

#: Types of TLVs (2.2).
ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID, SSL = 1, 2, 3, 4, 5, 0x20

#: Types of the TLVs within an SSL TLV (2.2.6).
_VERSION, _COMMON_NAME, _CIPHER = 0x21, 0x22, 0x23
_SIGNATURE_ALGORITHM, _KEY_ALGORITHM = 0x24, 0x25

#: Bits of an SSL TLV's `client`: the client speaks TLS, and presented a certificate in
#: this connection, or in this session (2.2.6).
_IS_TLS, _CERTIFICATE = 0x01, 0x02 | 0x04

_HEAD = struct.Struct("!BH")
_LONGEST = 0xFFFF
_SSL_HEAD = struct.Struct("!BI")


def read_tlvs(block: bytes) -> tuple[TLV, ...] | None:
    """The TLVs that fill `block`, in their order; None if the last is cut short."""
    tlvs = []
    at, end = 0, len(block)
    while at + _HEAD.size <= end:
        kind, length = _HEAD.unpack_from(block, at)
        at += _HEAD.size + length
        tlvs.append((kind, block[at - length : at]))
    return tuple(tlvs) if at == end else None


def write_tlvs(tlvs: Iterable[TLV]) -> bytes:
    """Encode TLVs, in their order.

    :raises ValueError: a value is longer than 65535 bytes.
    """
    return b"".join(map(_written, tlvs))


def _written(tlv: TLV) -> bytes:
    kind, value = tlv
    if len(value) > _LONGEST:
        raise ValueError(f"a TLV of {len(value)} bytes is longer than {_LONGEST}")
    return _HEAD.pack(kind, len(value)) + value


@frozen
class ClientTLS:
    """The TLS of a client's connection, as an SSL TLV describes it (2.2.6).

    Texts that the TLV lacks are empty.
    """

    #: As OpenSSL names it: "TLSv1.3".
    version: str = ""
    #: Whether the client presented a certificate, and whether that is verified.
    has_certificate: bool = False
    is_verified: bool = False
    #: The common name of the client's certificate.
    common_name: str = ""
    #: The cipher suite as OpenSSL names it: "TLS_AES_256_GCM_SHA384".
    cipher: str = ""
    #: The algorithms of the certificate that the client was shown: "RSA-SHA256",
    #: "RSA2048".
    signature_algorithm: str = ""
    key_algorithm: str = ""

    def write(self) -> bytes:
        """The value of an SSL TLV that says this.

        :raises ValueError: a text is longer than 65535 bytes.
        """
        client = _IS_TLS | (_CERTIFICATE if self.has_certificate else 0)
        subs = (
            (_VERSION, self.version),
            (_COMMON_NAME, self.common_name),
            (_CIPHER, self.cipher),
            (_SIGNATURE_ALGORITHM, self.signature_algorithm),
            (_KEY_ALGORITHM, self.key_algorithm),
        )
        verify = 0 if self.has_certificate and self.is_verified else 1
        return _SSL_HEAD.pack(client, verify) + write_tlvs(
            (kind, text.encode()) for kind, text in subs if text
        )

    @classmethod
    def read(cls, value: bytes) -> "ClientTLS | None":
        """What the value of an SSL TLV says.

        None if the client does not speak TLS, or if the value is malformed.
        """
        if len(value) < _SSL_HEAD.size:
            return None
        client, verify = _SSL_HEAD.unpack_from(value)
        subs = read_tlvs(value[_SSL_HEAD.size :])
        if subs is None or not client & _IS_TLS:
            return None
        texts = {kind: text.decode(errors="replace") for kind, text in subs}
        has_certificate = bool(client & _CERTIFICATE)
        return cls(
            version=texts.get(_VERSION, ""),
            has_certificate=has_certificate,
            # HAProxy's `verify` is 0 without a certificate as well.
            is_verified=has_certificate and not verify,
            common_name=texts.get(_COMMON_NAME, ""),
            cipher=texts.get(_CIPHER, ""),
            signature_algorithm=texts.get(_SIGNATURE_ALGORITHM, ""),
            key_algorithm=texts.get(_KEY_ALGORITHM, ""),
        )
