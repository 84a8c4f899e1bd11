"""The key of a connection or request: what ``policy=hash`` chooses an upstream by."""

from hashlib import blake2b

from attrs import define


@define(eq=False)
class HashKey:
    """A key: a client's address, or what a request has in a field, cookie or URI.

    Equal texts have equal numbers on every machine.
    """

    text: bytes
    #: 64 bits of a hash (BLAKE2b, RFC 7693) of the text.
    number: int

    @classmethod
    def of(cls, text: bytes) -> "HashKey":
        """The key with this text."""
        return cls(text, int.from_bytes(blake2b(text, digest_size=8).digest(), "big"))
