"""Reads Consul's lists of checks.  Pure."""

from typing import NamedTuple

from lbconsul.consul.client import Reply
from lbconsul.consul.entries import entries
from lbconsul.consul.list_watch import Reading
from lbconsul.errors import UnusableAnswer


class Check(NamedTuple):
    """What tells two checks apart, and how it is."""

    node: str
    check_id: str
    #: Both are empty if the check is of the node.
    service: str
    service_id: str
    status: str


Checks = frozenset[Check]


def reading(reply: Reply) -> Reading[Checks]:
    """The checks of an answer.

    :raises UnusableAnswer: the answer is not valid.
    """
    found = set[Check]()
    for entry in entries(reply.body):
        found.add(_check(entry))
        yield
    return frozenset(found)


def _check(entry: object) -> Check:
    match entry:
        case {
            "Node": str(node),
            "CheckID": str(check),
            "Status": str(status),
            "ServiceName": str(name),
            "ServiceID": str(service_id),
        }:
            return Check(node, check, name, service_id, status)
    raise UnusableAnswer("an entry is not a check")
