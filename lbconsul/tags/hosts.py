"""The hosts of routes: patterns, and the order in which they are tried.  Pure.

A pattern is compared with the ``Host`` of a request, its port included.  As in fabio,
``:80`` is cut from both where clients do without TLS, and ``:443`` where they have it.
"""

from ipaddress import AddressValueError, IPv6Address

from lbconsul.tags import glob

#: The longest pattern, in characters.
_LONGEST = 512

_DEFAULT_PORTS = {False: ":80", True: ":443"}


def read_host(text: str) -> str:
    """A pattern in lower case, its name without a final dot; empty: any host.

    An IPv6 address in brackets is an address, and no set of characters.

    :raises ValueError: it is none; the text says what would be right.
    """
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError(f"a host may have {_LONGEST} printable characters")
    host = text.lower()
    address = _address(host)
    if address is not None:
        return address
    name, port = split_port(host)
    if glob.is_glob(host.removeprefix("*.")):
        glob.compiled(host)  # to see whether it is one
    return name.removesuffix(".") + port


def is_literal(host: str) -> bool:
    """Whether a pattern stands for itself alone."""
    return not glob.is_glob(host) or _address(host) is not None


def split_port(host: str) -> tuple[str, str]:
    """The name of a pattern, and its port with the colon; empty if it has none."""
    if host.endswith("]") or host.count(":") - host.partition("]")[0].count(":") > 1:
        return host, ""
    name, colon, port = host.rpartition(":")
    return (name, colon + port) if name and port else (host, "")


def without_default_port(host: str, is_tls: bool) -> str:
    """A pattern or a ``Host`` as a listener with or without TLS compares it."""
    return host.removesuffix(_DEFAULT_PORTS[is_tls])


def order(host: str) -> str:
    """What patterns are sorted by: that with the greatest is tried first.

    fabio's rule: the name reversed letter by letter, and its port behind it.  So a name
    comes before a wildcard, a longer wildcard before a shorter one, and a pattern with
    a port before that without.
    """
    name, port = split_port(host)
    return name[::-1] + port


def _address(host: str) -> str | None:
    """The canonical form of an IPv6 address in brackets, with its port; or None."""
    begin, bracket, port = host.partition("]")
    if not begin.startswith("[") or ":" not in begin or not bracket:
        return None
    if port and not port.startswith(":"):
        return None
    try:
        return f"[{IPv6Address(begin[1:])}]{port}"
    except AddressValueError:
        return None
