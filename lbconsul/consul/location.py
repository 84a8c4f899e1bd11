"""Reads an instance's host and port, or socket path, from its registration.  Pure."""

import posixpath
from typing import Any

from attrs import frozen

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.hosts import read_host
from lbconsul.text import one_line

#: How much of an invalid address is shown, in characters.
_SHOWN = 80

#: The longest path of a UNIX socket, in bytes (unix(7)).
_LONGEST_PATH = 107


@frozen
class Pick:
    """Which port and address a mapping uses of a registration with several."""

    #: The name of the port; empty for the service's default port.
    port_name: str = ""
    #: The tag of the address, such as ``wan``; empty for the untagged address.
    tagged_address: str = ""


BY_DEFAULT = Pick()


def pick_of(query: ServiceQuery) -> Pick:
    """The port and address that the mappings of one query use."""
    return Pick(query.port_name, query.tagged_address)


@frozen
class Location:
    """A host and a port, or the path of a UNIX socket as `host` and `address`.

    `address` is an IP address, empty if `host` is a name.  `why` is the reason why the
    gateway cannot connect there, empty if it can.
    """

    host: str
    port: int = 0
    address: str = ""
    why: str = ""


def locate(node: dict[str, Any], service: dict[str, Any], pick: Pick) -> Location:
    """The location of one entry's ``Node`` and ``Service``.

    Addresses and ports must be absent or of the types that Consul documents;
    ``Ports`` and ``TaggedAddresses`` may be of any type.
    """
    path = service.get("SocketPath") or ""
    if path:
        return _socket(path)
    host = service.get("Address") or node.get("Address") or ""
    port, why = _port(service, pick.port_name)
    if pick.tagged_address:
        host, port, why = _tagged(node, service, pick, port, why)
    if not why and not host.strip():
        why = "neither the service nor its node has an address"
    if not why and not 1 <= port <= 65535:
        why = f"its port is {port}"
    if why:
        return Location(host, port, why=why)
    try:
        host, address = read_host(host)
    except ValueError as error:
        shown = one_line(host, _SHOWN)
        return Location(host, port, why=f"its address {shown!r} {error}")
    return Location(host, port, address)


def _socket(path: str) -> Location:
    if not path.startswith("/") or not path.isprintable():
        shown = one_line(path, _SHOWN)
        why = f"its SocketPath {shown!r} must begin with / and be printable"
        return Location(path, why=why)
    path = posixpath.normpath(path)
    if len(path.encode(errors="replace")) > _LONGEST_PATH:
        return Location(path, why=f"its SocketPath exceeds {_LONGEST_PATH} bytes")
    return Location(path, address=path)


def _port(service: dict[str, Any], name: str) -> tuple[int, str]:
    """The default port, or the port of this name; and the reason if there is none.

    https://developer.hashicorp.com/consul/docs/connect/proxy/multiport
    """
    port, ports = service.get("Port") or 0, service.get("Ports") or []
    if port and not name:
        return port, ""
    if not isinstance(ports, list) or not all(map(_is_port, ports)):
        return 0, "its Ports are not a list of names with a number each"
    if name:
        chosen = [each for each in ports if each.get("Name") == name]
        if not chosen:
            return port, f"it has no port of the name {one_line(name, _SHOWN)!r}"
    else:
        chosen = [each for each in ports if each.get("Default")] or ports
    return (chosen[0]["Port"], "") if chosen else (port, "")


def _is_port(port: object) -> bool:
    if not isinstance(port, dict) or type(port.get("Port")) is not int:
        return False
    default = port.get("Default", False)
    return isinstance(port.get("Name"), str) and isinstance(default, bool)


def _tagged(
    node: dict[str, Any], service: dict[str, Any], pick: Pick, port: int, why: str
) -> tuple[str, int, str]:
    """The host and port under a tag of the service's addresses, or of its node's.

    The node's tag counts if the service has no address of its own.  A port that the
    mapping selects by name takes precedence over the tag's port.
    """
    tag = pick.tagged_address
    of_service, of_node = service.get("TaggedAddresses"), node.get("TaggedAddresses")
    told = of_service.get(tag) if isinstance(of_service, dict) else None
    if isinstance(told, dict) and isinstance(told.get("Address"), str):
        other = told.get("Port")
        if type(other) is int and other and not pick.port_name:
            return told["Address"], other, ""
        return told["Address"], port, why
    of_node = of_node if isinstance(of_node, dict) else {}
    host = of_node.get(tag)
    if isinstance(host, str) and host and not service.get("Address"):
        return host, port, why
    return "", port, why or f"it has no address tagged {one_line(tag, _SHOWN)!r}"
