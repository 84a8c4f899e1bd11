"""Parses the values of the options of registrations.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re

from lbconsul.config.address_values import is_host, port
from lbconsul.config.values import name, printable

#: Consul's own bounds (agent/structs, ``ValidateServiceMetadata``): of the pairs, of a
#: key and of a value.
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 64, 128, 512

#: The metadata that the gateway adds itself: which gateway keeps the registration, and
#: the service behind it.
GATEWAY, BALANCES = OWN_META = ("lbconsul-gateway", "lbconsul-balances")

_KEY = re.compile(r"[A-Za-z0-9_-]+")


def service_or_off(text: str) -> str:
    """The name of a service; empty for ``off``."""
    if text == "off":
        return ""
    try:
        return name(text)
    except ValueError as error:
        raise ValueError(f"{error}; or off") from None


def tags(text: str) -> tuple[str, ...]:
    """Tags, with ``|`` between them."""
    found = tuple(text.split("|"))
    for each in found:
        if not each or not each.isprintable() or len(each) > 255:
            raise ValueError(
                "must be tags of 1 to 255 printable characters, with | between them, as"
                " edge|public"
            )
    return tuple(dict.fromkeys(found))


def meta(text: str) -> tuple[str, ...]:
    """Pairs ``KEY=VALUE``, with ``|`` between them."""
    found = dict[str, str]()
    for each in text.split("|"):
        key, equals, value = each.partition("=")
        if not equals or not _KEY.fullmatch(key) or len(key) > _LONGEST_KEY:
            raise ValueError(
                f"{each!r} must be KEY=VALUE, with | before the next pair; a key has 1"
                f" to {_LONGEST_KEY} letters, digits, _ and -"
            )
        if key.startswith("consul-") or key in OWN_META:
            raise ValueError(
                f"key {key!r} is reserved, as are {', '.join(OWN_META)} and all that"
                " begin with consul-"
            )
        if len(printable(value)) > _LONGEST_VALUE:
            raise ValueError(
                f"the value of {key!r} is longer than {_LONGEST_VALUE} characters"
            )
        if key in found:
            raise ValueError(f"key {key!r} is given twice")
        found[key] = value
    most = _MOST_PAIRS - len(OWN_META)
    if len(found) > most:
        raise ValueError(f"must be {most} pairs at most")
    return tuple(f"{key}={value}" for key, value in found.items())


def address(text: str) -> str:
    """``HOST`` or ``HOST:PORT``, as clients reach the mapping from elsewhere."""
    if is_host(text) and not _is_wildcard(text):
        return text
    host, _, number = text.rpartition(":")
    if not host or not is_host(host) or _is_wildcard(host):
        raise ValueError(
            "must be HOST or HOST:PORT, at which clients reach the gateway: a host"
            " name, an IPv4 address, or an IPv6 one in brackets"
        )
    return f"{host}:{port(number)}"


def split_address(text: str) -> tuple[str, int]:
    """The host without brackets, and the port, of a valid address; 0 without one."""
    host, _, number = ("" if is_host(text) else text).rpartition(":")
    bare = (host or text).removeprefix("[").removesuffix("]")
    return bare, int(number or 0)


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "[::]")
