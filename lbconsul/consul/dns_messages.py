"""Queries and answers of DNS, as messages of twisted.names."""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from twisted.names import dns

#: The longest answer, in bytes: hundreds of addresses.
MOST_ANSWER = 16384

#: The most addresses of one name that are used.
MOST_ADDRESSES = 64

#: The most aliases (CNAME) that are followed within one answer.
_MOST_ALIASES = 16


class ServerFailed(Exception):
    """The server answered with an error, or with an invalid message."""


class NoSuchName(Exception):
    """The server answered that the name does not exist, with any record type."""


def addresses(message: dns.Message, query: dns.Query) -> list[str]:
    """The addresses in an answer to a query, through aliases (CNAME).

    :raises NoSuchName: the answer's code is NXDOMAIN.
    :raises ServerFailed: its code is another error.
    """
    if message.rCode == dns.ENAME:
        raise NoSuchName
    if message.rCode != dns.OK:
        raise ServerFailed(f"response code {message.rCode}")
    aliases, found = dict[bytes, bytes](), dict[bytes, list[str]]()
    for each in message.answers:
        owner = _name(each)
        record: Any = each.payload
        if isinstance(record, dns.Record_CNAME):
            aliases.setdefault(owner, _name(record))
        elif each.type == query.type and isinstance(record, dns.Record_A):
            found.setdefault(owner, []).append(str(IPv4Address(record.address)))
        elif each.type == query.type and isinstance(record, dns.Record_AAAA):
            found.setdefault(owner, []).append(str(IPv6Address(record.address)))
    name = _name(query)
    for _ in range(_MOST_ALIASES):
        if name in found or name not in aliases:
            break
        name = aliases[name]
    return found.get(name, [])[:MOST_ADDRESSES]


def encoded(number: int, query: dns.Query) -> bytes:
    """A query as a message with this id."""
    message = dns.Message(number, recDes=1)
    message.queries = [query]
    data: bytes = message.toStr()
    return data


def _name(of: Any) -> bytes:
    """The name of a query or of a record, in lower case."""
    name: bytes = of.name.name.lower()
    return name


def decoded(data: bytes) -> dns.Message | None:
    """The message; None if it is malformed, or shorter than it says."""
    message = dns.Message()
    try:
        message.fromStr(data)
        (answers,) = struct.unpack_from("!H", data, 6)
    except Exception:  # Twisted raises many kinds for a malformed message
        return None
    # Of a message that is cut short Twisted parses the records that are there.
    return message if message.trunc or len(message.answers) == answers else None


def answers_query(message: dns.Message, query: dns.Query) -> bool:
    """Whether the message answers the query.

    Some servers leave the query out of an answer with an error code.
    """
    if not message.answer:
        return False
    asked = [(_name(each), each.type) for each in message.queries]
    if not asked:
        return message.rCode not in (dns.OK, dns.ENAME)
    return asked == [(_name(query), query.type)]
