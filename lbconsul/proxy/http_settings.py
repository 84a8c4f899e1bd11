"""What the HTTP sessions of one mapping or route share."""

import os
from functools import cache
from itertools import count
from typing import Self

from attrs import define, field

from lbconsul.balance.retry_budget import RetryBudget
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.http.answers import Answers
from lbconsul.http.fields import FieldParser
from lbconsul.http.head import Limits
from lbconsul.http.headers import ForwardingOptions
from lbconsul.http.request import RequestParser, request_fields
from lbconsul.http.response import ResponseParser, response_fields
from lbconsul.net.cidr import Networks, read_address
from lbconsul.net.sweeper import Sweeper
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.idle_connections import IdleConnections
from lbconsul.proxy.request_log import RequestLog

#: A request's name in logs, here and at the upstream.
REQUEST_ID = b"x-request-id"

#: Lines of a response may be longer than those of a request, which its server has
#: never to send back: a limit against what is no response.
_RESPONSE = Limits(head=131072, fields=500)


@cache
def _request_fields() -> FieldParser:
    return request_fields([REQUEST_ID])


@cache
def _response_fields() -> FieldParser:
    return response_fields()


#: Distinct in all processes, then in this one.
_PROCESS, _NUMBERS = os.urandom(8).hex(), count()


def new_request_id() -> bytes:
    """A name for a request that no other has."""
    return b"%b-%08x" % (_PREFIX, next(_NUMBERS))


_PREFIX = _PROCESS.encode()


@define(eq=False)
class HTTPSettings:
    """What the sessions of one mapping share, and the exchanges of one row of it."""

    mapping: Mapping
    requests: RequestParser
    responses: ResponseParser
    forwarding: ForwardingOptions
    #: The port that clients connect to.
    port: int
    answers: Answers
    idle: IdleConnections[UpstreamConnection]
    log: RequestLog
    #: How many requests may be sent again; None: `retry-on` says that none is.
    retry_budget: RetryBudget | None = None
    #: Exchanges under way.
    active: int = 0
    #: Whether keep-alive ends with the response: the mapping drains.
    is_draining: bool = field(default=False)

    @classmethod
    def of(cls, mapping: Mapping, sweeper: Sweeper, log: RequestLog) -> Self:
        """The settings for a mapping or route with ``mode=http``."""
        http = mapping.http
        limits = Limits(head=http.max_head, target=http.max_uri)
        listen = mapping.listen
        # An upstream that learns the client's address from the connection itself
        # cannot get requests of others on it.
        shares = mapping.proxy_protocol.send == "off"
        return cls(
            mapping,
            RequestParser(_request_fields(), limits),
            ResponseParser(_response_fields(), _RESPONSE),
            _forwarding(mapping),
            listen.port if isinstance(listen, TCPListen) else 80,
            Answers(),
            IdleConnections(
                http.keep_idle if shares else 0, http.keep_idle_time, sweeper
            ),
            log,
            RetryBudget() if http.retry_on else None,
        )


def _forwarding(mapping: Mapping) -> ForwardingOptions:
    http, trusted = mapping.http, Networks.of(mapping.http.trusted_proxies)

    def trusts(address: str) -> bool:
        found = read_address(address)
        return found is not None and found in trusted

    def trusts_none(address: str) -> bool:
        return False

    return ForwardingOptions(
        trusts if http.trusted_proxies else trusts_none,
        http.forwarded,
        "lbconsul" if http.via else "",
    )
