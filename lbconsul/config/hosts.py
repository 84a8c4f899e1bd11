"""Parses hosts, and rejects those that cannot be connected to.  Pure."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?")

#: The longest host name with a final dot (RFC 1035, 2.3.4).
_LONGEST = 254

#: A name whose last label is a number is no host name: inet_aton(3) and URLs read it as
#: an IPv4 address, which has many spellings (https://url.spec.whatwg.org/, "ends in a
#: number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)

#: A zone of RFC 4007: an interface's name or its number.
_ZONE = re.compile(r"[\w.:@-]{1,15}")

_BROADCAST = IPv4Address("255.255.255.255")


def read_host(text: str) -> tuple[str, str]:
    """Return a host as it is looked up and shown, and its IP address if it is one.

    White space around it and brackets round an IPv6 address are dropped.

    :raises ValueError: it cannot be connected to; the text says why.
    """
    host = text.strip()
    if re.fullmatch(r"\[.*:.*\]", host):
        host = host[1:-1].replace("%25", "%", 1)  # as in a URL, RFC 6874
    try:
        address = ip_address(host)
    except ValueError:
        return _name(host), ""
    host = _connectable(address)
    return host, host


def canonical(text: str) -> str:
    """The canonical text of an IP address: equal addresses have equal texts.

    IPv4-mapped IPv6 addresses (``::ffff:192.0.2.1``) become IPv4 addresses.

    :raises ValueError: it is no IP address, or cannot be connected to.
    """
    return _connectable(ip_address(text))


def _connectable(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address):
        zone = address.scope_id
        if address.ipv4_mapped is None:
            return _connectable6(address, zone)
        address = address.ipv4_mapped
    if not int(address) >> 24:  # 0.0.0.0/8: "this host", RFC 1122, 3.2.1.3
        raise ValueError("is no address to connect to")
    if address.is_multicast or address == _BROADCAST:
        raise ValueError("stands for many hosts, and cannot be connected to")
    return str(address)


def _connectable6(address: IPv6Address, zone: str | None) -> str:
    if zone is not None and not _ZONE.fullmatch(zone):
        raise ValueError("has a zone that is no interface")
    if address.is_unspecified:
        raise ValueError("is no address to connect to")
    if address.is_multicast:
        raise ValueError("stands for many hosts, and cannot be connected to")
    if address.is_link_local and zone is None:
        raise ValueError("is link-local and needs a zone, as in fe80::1%eth0")
    return str(address)


def _name(host: str) -> str:
    if "://" in host:
        raise ValueError("is a URL, where a host name or an IP address belongs")
    if host.startswith(("/", "@", "unix:")):
        raise ValueError("is a path; a UNIX socket is registered as SocketPath")
    if re.fullmatch(r"(?:\[.*\]|[^:]*):\d*", host):
        raise ValueError("holds a port, where only the host belongs")
    try:
        # IDNA maps full-width digits and dots to ordinary ones.
        last = host[: _LONGEST + 1].encode("idna").decode("ascii").rstrip(".")
    except UnicodeError:
        last = ""
    if not last or len(host) > _LONGEST or not _NAME.fullmatch(host):
        raise ValueError("is neither an IP address nor a host name")
    if _NUMBER.fullmatch(last.rpartition(".")[2]):
        raise ValueError("looks like an IPv4 address, but is not valid")
    return host
