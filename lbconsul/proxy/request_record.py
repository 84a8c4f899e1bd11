"""What the access log of HTTP mode has of a request, and how that is told."""

from typing import Any, Protocol

from attrs import define

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Lease
from lbconsul.http.request import RequestHead
from lbconsul.proxy.request_texts import RequestTexts

#: HAProxy's names, in the order of `timers`.
TIMERS = "TR", "Tw", "Tc", "Tr", "Ta"


class Request(Protocol):
    """A request that is over, or whose connection is upgraded.

    Times are the reactor's, in seconds; 0: it did not come to that.
    """

    #: The head, or what came of it.
    raw: bytes
    request_id: bytes
    #: When the first byte of the request came, its head was complete, the connect to
    #: the instance that answers began, the request was sent, and the head of the
    #: response came.
    since: float
    begun_at: float
    connecting_at: float
    sent_at: float
    answered_at: float
    #: Its use of an upstream; else the last one that did not accept, if any.
    lease: Lease | None
    failed: Instance | None
    #: Bytes of the bodies, from the client and to it; and of the head of the response.
    received: int
    sent: int
    head_sent: int
    #: Those of the bodies that are counted already.
    counted_received: int
    counted_sent: int
    #: Of the response; 0: there was none.
    status: int
    #: The fields of the response, if it has been asked for any.
    response_fields: bytes
    #: Upstreams that failed before, and whether the connection had been kept idle.
    retries: int
    is_reused: bool
    #: The coding that the response has got from the gateway; empty: none.
    coding: str
    #: Bytes of its content before that.
    plain: int
    #: Who has sent it, as far as that was verified.
    user: str
    #: Why the response was one of the gateway's own, in a word, and in detail.
    reason: str
    error: str

    @property
    def head(self) -> RequestHead | None:
        """None: it is not valid, or not complete."""


@define(eq=False, kw_only=True)
class RequestRecord:
    """A `Request` without an exchange: it was ordinary, not valid, or not complete."""

    raw: bytes
    since: float
    head: RequestHead | None = None
    status: int = 0
    response_fields: bytes = b""
    sent: int = 0
    head_sent: int = 0
    coding: str = ""
    plain: int = 0
    user: str = ""
    reason: str = ""
    error: str = ""
    request_id: bytes = b""
    begun_at: float = 0.0
    connecting_at: float = 0.0
    sent_at: float = 0.0
    answered_at: float = 0.0
    lease: Lease | None = None
    failed: Instance | None = None
    received: int = 0
    counted_received: int = 0
    counted_sent: int = 0
    retries: int = 0
    is_reused: bool = False


def timers(request: Request, now: float) -> tuple[int, int, int, int, int]:
    """HAProxy's timers, in milliseconds; -1: it did not come to that.

    They are of the request's head, the wait for an upstream, the connect, the wait for
    the head of the response, and of all.
    """
    since, begun, sent = request.since, request.begun_at, request.sent_at
    connecting, answered = request.connecting_at, request.answered_at
    return (
        int((begun - since) * 1000) if begun else -1,
        int((connecting - begun) * 1000) if connecting else -1,
        int((sent - connecting) * 1000) if sent else -1,
        int((answered - sent) * 1000) if answered else -1,
        int((now - since) * 1000),
    )


def json_fields(request: Request, texts: RequestTexts, now: float) -> dict[str, Any]:
    """What a line of JSON has of a request itself."""
    return {
        **_words(texts.line),
        "host": texts.host,
        "status": request.status,
        "received": request.received,
        "sent": request.sent,
        "referer": texts.referer,
        "user_agent": texts.user_agent,
        **dict(zip(TIMERS, timers(request, now), strict=True)),
        "seconds": round(now - request.since, 6),
        "retries": request.retries,
        "reused": request.is_reused,
    }


def instance_of(request: Request) -> Instance | None:
    """The instance that answered a request, or the last one that was tried."""
    return request.failed if request.lease is None else request.lease.instance


def _words(line: str) -> dict[str, str]:
    """The parts of a request line; all of it if it has others."""
    words = line.split(" ")
    if len(words) != 3:
        return {"request": line}
    return {"method": words[0], "target": words[1], "version": words[2]}
