"""CRC32C, the checksum of SCTP and of the PROXY protocol (RFC 9260, Appendix A).  Pure.

Written here because a header is some hundred bytes: no compiled dependency for that.
"""

from functools import cache

#: The polynomial 0x1EDC6F41, its bits reflected.
_POLYNOMIAL = 0x82F63B78

_ALL_BITS = 0xFFFF_FFFF


def crc32c(data: bytes) -> int:
    """The CRC32C of `data`, as a number of 32 bits."""
    table = _table()
    crc = _ALL_BITS
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _ALL_BITS


@cache
def _table() -> tuple[int, ...]:
    """What each value of a byte does to the checksum."""
    return tuple(_divided(byte) for byte in range(256))


def _divided(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ _POLYNOMIAL * (byte & 1)
    return byte
