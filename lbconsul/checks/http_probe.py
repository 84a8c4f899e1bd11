"""The request of a check over HTTP, and what its answer says.  Pure."""

from attrs import frozen

from lbconsul.config.check import Probe
from lbconsul.http.errors import Refused
from lbconsul.http.head import Limits
from lbconsul.http.response import SWITCHING_PROTOCOLS, ResponseParser, response_fields

#: The most bytes of an answer that are read: a head is far smaller, and of what follows
#: nothing counts.
MOST_BYTES = 16 << 10

#: The same of all the responses that come before the answer (1xx).
_MOST_IN_ALL = 4 * MOST_BYTES

_PARSER = ResponseParser(response_fields(), Limits(head=MOST_BYTES))


@frozen
class Verdict:
    """What an answer says."""

    passed: bool
    #: The status, or what is wrong.
    text: str


def request(probe: Probe, host: str) -> bytes:
    """The request for an instance that is called `host`, port included."""
    return (
        f"{probe.method} {probe.path} HTTP/1.1\r\nHost: {probe.host or host}\r\n"
        "User-Agent: lbconsul\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def host_of(host: str, port: int, *, is_tls: bool) -> str:
    """The Host of an instance (RFC 9110, 7.2): the port unless it is the scheme's."""
    if host.startswith("/") or not host.isascii():
        return "localhost"
    host = host.partition("%")[0]  # a scope is of this machine alone
    shown = f"[{host}]" if ":" in host else host
    return shown if port == (443 if is_tls else 80) else f"{shown}:{port}"


def judge(probe: Probe, data: bytes) -> Verdict | None:
    """What the bytes that an instance has sent so far say; None if more are needed."""
    pos = 0
    is_of_head = probe.method == "HEAD"
    try:
        while True:
            head = _PARSER.parse(data, pos, is_of_head)
            if head is None:
                is_long = len(data) >= _MOST_IN_ALL
                return Verdict(False, "too long an answer") if is_long else None
            if head.status >= 200 or head.status == SWITCHING_PROTOCOLS:
                break
            pos += len(head.raw)
    except Refused as error:
        return Verdict(False, f"no valid HTTP: {error}")
    status = head.status
    passed = any(first <= status <= last for first, last in probe.statuses)
    return Verdict(passed, str(status))
