"""Parses single values that are addresses: hosts, ports, socket paths, networks.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re
from ipaddress import ip_network
from posixpath import normpath

from lbconsul.config.hosts import read_host

#: ``sun_path`` of unix(7) without the zero at its end, in bytes.
_LONGEST_SOCKET_PATH = 107


def is_host(text: str) -> bool:
    """Whether a text is a host name or an IP address, an IPv6 one in brackets."""
    if text != text.strip() or (":" in text and not text.startswith("[")):
        return False
    try:
        read_host(text)
    except ValueError:
        return False
    return True


def server_name(text: str) -> str:
    """A host name or IP address; a port behind it is dropped, as Consul's tools do."""
    ported = re.fullmatch(r"(\[[^\]]*\]|[^:]*):\d*", text)
    host = ported[1] if ported else text
    if re.fullmatch(r"\[.*\]", host):
        host = host[1:-1]
    if not is_host(f"[{host}]" if ":" in host else host) or "_" in host:
        raise ValueError("must be a host name or an IP address")
    return host


def port(text: str) -> int:
    """A port number from 1 to 65535."""
    if not re.fullmatch(r"\d{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"port {text!r} must be a number from 1 to 65535")
    return int(text)


def socket_path(text: str) -> str:
    """The path of a UNIX socket."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("must be a path that begins with / and is printable")
    if len(text.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(
            f"the path of a UNIX socket has {_LONGEST_SOCKET_PATH} bytes at most"
        )
    return text


def networks(text: str) -> tuple[str, ...]:
    """One or more networks such as ``10.0.0.0/8`` or ``::1``, separated by commas."""
    found = []
    for each in text.split(","):
        try:
            network = str(ip_network(each))
        except ValueError:
            network = "%"
        if "%" in network:  # no client's address has a zone
            raise ValueError(
                f"{each!r} must be a network, such as 10.0.0.0/8, 192.0.2.1 or"
                " 2001:db8::/32, with no bit set behind its prefix"
            )
        found.append(network)
    return tuple(found)


def upstream_networks(text: str) -> tuple[str, ...]:
    """As `networks`, and ``unix:/PATH`` for a UNIX socket or those below a
    directory.
    """
    found: list[str] = []
    for each in text.split(","):
        kind, _, path = each.partition(":")
        if kind == "unix":
            found.append(f"unix:{normpath(socket_path(path))}")
        else:
            found += networks(each)
    return tuple(found)
