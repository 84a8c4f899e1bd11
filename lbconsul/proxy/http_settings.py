"""What the HTTP sessions of one mapping or route share."""

import os
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any, Self

from attrs import define, field
from twisted.logger import Logger

from lbconsul.balance.retry_budget import RetryBudget
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.http.answers import Answers, Page, read_pages
from lbconsul.http.basic_auth import challenge
from lbconsul.http.compression import Compressing
from lbconsul.http.fields import FieldParser
from lbconsul.http.head import Limits
from lbconsul.http.headers import ForwardingOptions
from lbconsul.http.redirecting import Redirecting
from lbconsul.http.request import RequestParser, request_fields
from lbconsul.http.response import ResponseParser, response_fields
from lbconsul.http.rewriting import RequestRewriting, ResponseRewriting
from lbconsul.limits.row_limits import RowLimits
from lbconsul.net.cidr import Networks, read_address
from lbconsul.process.files import read_file
from lbconsul.proxy.authenticators import Authenticator
from lbconsul.proxy.compression_turns import CompressionTurns
from lbconsul.proxy.http_keys import KeyFinder, key_finder
from lbconsul.proxy.http_sticky import Sticky
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.idle_connections import IdleConnections, IdleStores
from lbconsul.proxy.request_log import RequestLog

_log = Logger()

#: A request's name in logs, here and at the upstream.
REQUEST_ID = b"x-request-id"

#: Lines of a response may be longer than those of a request, which its server has
#: never to send back: a limit against what is no response.
_RESPONSE = Limits(head=131072, fields=500)

#: The name of this proxy in ``Via``.
VIA = "lbconsul"

#: What the upstream learns of a client's certificate.
CERTIFICATE_FIELDS = tuple(
    f"x-ssl-client-{each}".encode() for each in ("verify", "cn", "san", "fingerprint")
)


@cache
def _request_fields(tells_certificate: bool) -> FieldParser:
    private = CERTIFICATE_FIELDS if tells_certificate else ()
    return request_fields([REQUEST_ID, *private])


@cache
def _response_fields() -> FieldParser:
    return response_fields()


#: Distinct in all processes, then in this one.
PROCESS, NUMBERS = os.urandom(8).hex().encode(), count()


def new_request_id() -> bytes:
    """A name for a request that no other has."""
    return b"%b-%08x" % (PROCESS, next(NUMBERS))


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
    #: What is rewritten of requests, and of responses; and whom to send elsewhere.
    request_rewriting: RequestRewriting | None = None
    response_rewriting: ResponseRewriting | None = None
    redirecting: Redirecting | None = None
    #: Whether a client with this address is refused; None: that is known at the accept.
    denies: Callable[[str], bool] | None = None
    #: Says who clients are; None: they need not tell.  And what asks them.
    authenticator: Authenticator | None = None
    challenge: bytes = field(init=False)
    #: Finds what the policy chooses an upstream by; None: it considers nothing.
    find_key: KeyFinder | None = None
    #: When responses are compressed, and which ones; None: none is.
    turns: CompressionTurns | None = None
    compressing: Compressing | None = field(init=False, default=None)
    #: What limits requests; None: nothing does.
    limits: RowLimits | None = None
    #: Has clients come to the same instances; None: it does not matter to which.
    sticky: Sticky | None = None
    #: Whether the lines of requests are not always the same.
    edits: bool = field(init=False)
    #: Whether responses get other lines than they have.
    edits_responses: bool = field(init=False)
    #: Whether the log shows fields of responses.
    logs_responses: bool = field(init=False)
    #: Whether requests may do without an exchange, if they are ordinary themselves.
    is_ordinary: bool = field(init=False)
    #: The plans of ordinary requests with which clients began, by their address, until
    #: the next tick: probes, scripts and services connect again to send the same.  Each
    #: is an `http_plan.Plan`, which knows this class.
    plans: dict[str, Any] = field(factory=dict)
    #: Exchanges under way.
    active: int = 0
    #: Whether keep-alive ends with the response: the mapping drains.
    is_draining: bool = field(default=False)

    @classmethod
    def of(
        cls,
        mapping: Mapping,
        idle_stores: IdleStores,
        log: RequestLog,
        now: Callable[[], float],
        denies: Callable[[str], bool] | None = None,
        authenticator: Authenticator | None = None,
        turns: CompressionTurns | None = None,
        row_limits: RowLimits | None = None,
        sticky: Sticky | None = None,
    ) -> Self:
        """The settings for a mapping or route with ``mode=http``.

        `now` returns the time in seconds since the epoch; `denies` tells whether its
        access control refuses an address, `authenticator` who clients are, and
        `sticky` where they go; `turns` are those of compression.
        """
        http = mapping.http
        limits = Limits(head=http.max_head, target=http.max_uri)
        listen = mapping.listen
        # An upstream that learns the client's address from the connection itself
        # cannot get requests of others on it.
        shares = mapping.proxy_protocol.send == "off"
        return cls(
            mapping,
            RequestParser(_request_fields(http.client_cert), limits),
            ResponseParser(_response_fields(), _RESPONSE),
            _forwarding(mapping),
            listen.port if isinstance(listen, TCPListen) else 80,
            Answers(now, _pages(mapping)),
            idle_stores.row(
                http.keep_idle if shares else 0,
                http.keep_idle_time,
                mapping.upstream_tls,
            ),
            log,
            RetryBudget() if http.retry_on else None,
            RequestRewriting.of(mapping.rewriting),
            ResponseRewriting.of(mapping.rewriting),
            Redirecting.of(mapping.rewriting),
            denies,
            authenticator,
            key_finder(mapping),
            turns,
            row_limits,
            sticky,
        )

    def __attrs_post_init__(self) -> None:
        http = self.mapping.http
        self.challenge = challenge(http.realm)
        how = self.mapping.compression
        if how.codings and self.turns is not None:
            self.compressing = Compressing.of(how.codings, how.types, how.least)
        self.edits = (
            self.request_rewriting is not None
            or http.traceparent
            or http.upstream_host == "address"
        )
        log_fields = self.log.fields if self.log.is_on else None
        self.logs_responses = log_fields is not None and log_fields.needs_response
        self.edits_responses = (
            self.response_rewriting is not None
            or http.via
            or http.server_timing
            or self.logs_responses
        )
        self.is_ordinary = not (
            self.edits
            or self.edits_responses
            or log_fields is not None
            or self.authenticator is not None
            or self.compressing is not None
        )


def _pages(mapping: Mapping) -> dict[int, Page]:
    try:
        return read_pages(str(mapping), mapping.rewriting.error_page, read_file)
    except ConfigError as error:
        # They were there when the gateway read its configuration.
        _log.warn("{error}: answers have a page of lbconsul's", error=str(error))
        return {}


def _forwarding(mapping: Mapping) -> ForwardingOptions:
    http, trusted = mapping.http, Networks.of(mapping.http.trusted_proxies)

    def trusts(address: str) -> bool:
        found = read_address(address)
        return found is not None and found in trusted

    return ForwardingOptions(
        trusts if http.trusted_proxies else None,
        http.forwarded,
        VIA if http.via else "",
        frozenset(CERTIFICATE_FIELDS if http.client_cert else ()),
    )
