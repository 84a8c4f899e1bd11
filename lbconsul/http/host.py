"""The Host of a request (RFC 9110, 7.2).  Pure."""

import re
from ipaddress import AddressValueError, IPv6Address

from attrs import field, frozen

from lbconsul.http.errors import Refused
from lbconsul.http.log_text import HOST, escaped

#: A name or an IPv4 address, or an IPv6 address in brackets; and a port.  RFC 3986 has
#: room for more in a name (3.2.2), which no name that is looked up has.
_HOST = re.compile(
    rb"((?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?"
)

#: The longest host, in bytes: that of a name with a final dot (RFC 1035, 2.3.4), of
#: which a final colon and a port are not a part.
_LONGEST = 254

_LAST_PORT = 65535


@frozen
class Host:
    """A valid host, with the port that the client wrote."""

    #: In lower case, without a final dot and without brackets.
    name: str
    #: None if the client wrote none: it is the default of the scheme.
    port: int | None
    #: As the client sent it, and as the access log shows that.
    text: bytes
    shown: str = field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "shown", escaped(self.text, HOST))


def read_host(text: bytes) -> Host:
    """Parse the value of a Host field, or the authority of a URI.

    :raises Refused: it is empty, has user information, or is no host.
    """
    match = _HOST.fullmatch(text)
    if match is None or len(match[1]) > _LONGEST:
        raise Refused(400, "its host is not valid")
    port = int(match[2]) if match[2] else None
    if port is not None and port > _LAST_PORT:
        raise Refused(400, "its host has a port that is not valid")
    return Host(_name(match[1].decode()), port, text)


def _name(text: str) -> str:
    if not text.startswith("["):
        return text.lower().removesuffix(".")
    try:
        return str(IPv6Address(text[1:-1]))
    except AddressValueError:
        raise Refused(400, "its host is not valid") from None
