"""What becomes of a request: where it goes, and what is sent on of it."""

import os
import re
from collections.abc import Sequence
from itertools import chain

from attrs import define, evolve

from lbconsul.balance.hash_key import HashKey
from lbconsul.http.fields import Fields
from lbconsul.http.headers import ClientHeaders, via
from lbconsul.http.host import Host
from lbconsul.http.path import normalized_path
from lbconsul.http.request import RequestHead
from lbconsul.http.templates import Variables, request_variables
from lbconsul.limits.row_limits import ClientLimits
from lbconsul.net.sockets import BareSocket
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.http_settings import REQUEST_ID, VIA, HTTPSettings
from lbconsul.proxy.http_split import SplitPlans
from lbconsul.proxy.live_routes import EACH_REQUEST, LASTING, Epoch
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.text import one_line

#: Methods whose request may be sent again: the effect is that of one (RFC 9110, 9.2.2).
_IDEMPOTENT = frozenset([b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])

_NOT_FOUND, _FORBIDDEN, _UNAVAILABLE = 404, 403, 503

_HOST = re.compile(rb"(?mi)^host:[^\r\n]*\r\n")
_TRACEPARENT = re.compile(rb"(?mi)^traceparent:")

#: The longest value of a field about a client's certificate, in characters.
_LONGEST_FACT = 1024


@define(eq=False)
class Plan:
    """What becomes of all requests with equal heads on one connection."""

    head: RequestHead
    #: The mapping or route that serves it, or refuses it.
    row: MappingProxy
    settings: HTTPSettings
    #: The path in normal form.
    path: bytes
    #: The client's address and scheme, as far as trusted proxies know better.
    client: str
    scheme: str
    #: The request line that is sent on, and the field lines.
    line: bytes
    lines: bytes
    #: What a trusted proxy calls the request; empty: it needs a name.
    request_id: bytes = b""
    #: The status of the answer in place of an upstream; 0: it gets an upstream.
    status: int = 0
    #: Whether the request may be sent twice.
    is_idempotent: bool = False
    #: Whether nothing is special about it, so that it may do without an exchange.
    is_ordinary: bool = False
    #: Bytes of the request; 0: that is not known, or its body is too large.
    size: int = 0
    #: What the policy chooses an upstream by.
    key: HashKey | None = None
    #: What its cookies say of the instance that its client comes to; with `sticky`.
    tokens: Sequence[bytes] = ()
    #: Where the client is sent to, if that is a redirect.
    location: bytes = b""
    #: What each request is asked about before it is served; None: there is no limit.
    limits: ClientLimits | None = None
    #: The plans of the parts of the row, of which this is one: which of them the next
    #: request gets is decided then.  None: the row has no parts.
    split: "SplitPlans[Plan] | None" = None
    #: The plan is good until it is over.
    epoch: Epoch = LASTING
    #: What has the client keep its part; empty: it has it, or needs nothing.
    set_cookie: bytes = b""

    def variables(self, request_id: bytes) -> Variables:
        """What the header fields that are set can contain."""
        mapping = self.row.mapping
        return request_variables(
            self.head.fields,
            client=self.client,
            scheme=self.scheme,
            request_id=request_id,
            service=mapping.service,
            route=mapping.route,
        )

    def lines_for(self, request_id: bytes, host: bytes) -> bytes:
        """The field lines of one request, for an upstream with this `Host`."""
        settings, lines = self.settings, self.lines
        if settings.mapping.http.upstream_host == "address":
            lines += b"Host: %b\r\n" % host
        if settings.mapping.http.traceparent and not _TRACEPARENT.search(lines):
            lines += b"traceparent: %b\r\n" % _new_traceparent()
        if settings.request_rewriting is not None:
            variables = self.variables(request_id)
            lines = settings.request_rewriting.lines(lines, self.path, variables)
        return lines

    def response_lines(
        self, lines: bytes, fields: Fields, request_id: bytes, waited: float
    ) -> bytes:
        """The field lines of a response, for which the request has `waited` seconds."""
        settings, http = self.settings, self.settings.mapping.http
        if http.via:
            lines += via(VIA, fields)
        if http.server_timing:
            lines += b"Server-Timing: upstream;dur=%.1f\r\n" % (1000 * waited)
        if settings.response_rewriting is not None:
            variables = self.variables(request_id)
            lines = settings.response_rewriting.lines(lines, variables)
        return lines


class Planner:
    """Plans the requests of one client's connection."""

    __slots__ = (
        "_own",
        "_proxy",
        "_sock",
        "_told",
        "_told_by",
        "_told_host",
        "headers",
    )

    def __init__(
        self,
        proxy: MappingProxy,
        settings: HTTPSettings,
        address: object,
        sock: BareSocket,
        info: ClientInfo | None,
    ) -> None:
        self._proxy = proxy
        self._sock = sock
        is_tls = info is not None and info.tls is not None
        #: What it tells upstreams of the client.
        self.headers = ClientHeaders(
            settings.forwarding,
            address[0] if isinstance(address, tuple) else "",
            "https" if is_tls else "http",
            settings.port,
        )
        #: The lines that were added last, and the host and the settings of those.
        self._told = b""
        self._told_host: Host | None = None
        self._told_by: HTTPSettings | None = None
        #: The lines about the client's certificate.
        self._own = b""
        if settings.mapping.http.client_cert:
            self._own = certificate_lines(info)

    def plan(self, head: RequestHead) -> Plan:
        """What becomes of requests with this head.

        :raises Refused: it is not passed on.
        """
        fields, headers = head.fields, self.headers
        path = normalized_path(head.path)
        row = self._proxy.row_for(
            None if fields.host is None else fields.host.name, path, head.method, fields
        )
        if headers.is_trusted:
            client, scheme = headers.client(fields), headers.scheme(fields)
        else:
            client, scheme = headers.address, headers.own_scheme
        if row is not None and self._proxy.epoch is not LASTING:
            row = self._not_in_circles(row, head, path, scheme)
        found = self._proxy if row is None else row
        settings, own = found.http, self._proxy.http
        assert settings is not None
        plan = Plan(head, found, settings, path, client, scheme, head.line, b"")
        plan.epoch = EACH_REQUEST if found.shares_route else self._proxy.epoch
        if row is None:
            plan.status = _NOT_FOUND if found.knows_routes else _UNAVAILABLE
        elif (settings.denies is not None and settings.denies(client)) or (
            own is not settings
            and own is not None
            and own.denies is not None
            and own.denies(client)
        ):
            plan.status = _FORBIDDEN
        elif settings.redirecting is not None:
            redirect = settings.redirecting.location(head, path, scheme)
            if redirect is not None:
                plan.status, plan.location = redirect
            elif not found.mapping.service:
                plan.status = _NOT_FOUND
        if settings.limits is not None and plan.status not in (_NOT_FOUND, _FORBIDDEN):
            plan.limits = settings.limits.of_client(client, fields.raw)
        if not plan.status:
            plan.is_idempotent = head.method in _IDEMPOTENT
            if settings.find_key is not None:
                plan.key = settings.find_key(head, path, client)
            if found.split is not None:
                return SplitPlans(plan, found.split, self.of_part).next()
            self._pass_on(plan, settings)
        return plan

    def _not_in_circles(
        self, row: MappingProxy, head: RequestHead, path: bytes, scheme: str
    ) -> MappingProxy | None:
        """The row of a request, but none whose tag sends it to where it came from.

        So a tag may redirect clients to https behind a proxy that ends TLS.
        """
        fields = head.fields
        host = None if fields.host is None else fields.host.name
        further = self._proxy.further_rows(host, path, head.method, fields)
        for each in chain((row,), further):
            redirecting = None if each.http is None else each.http.redirecting
            if (
                redirecting is None
                or each.mapping.rewriting.redirect is None
                or redirecting.location(head, path, scheme) is not None
            ):
                return each
        return None

    def of_part(self, whole: Plan, part: MappingProxy) -> Plan:
        """The plan of requests that a part of their row gets."""
        assert part.http is not None
        plan = evolve(whole, row=part, settings=part.http)
        self._pass_on(plan, part.http)
        return plan

    def _pass_on(self, plan: Plan, settings: HTTPSettings) -> None:
        """Note what is sent on."""
        head, fields, headers = plan.head, plan.head.fields, self.headers
        if settings.request_rewriting is not None:
            plan.line = settings.request_rewriting.line(head, plan.path)
        elif plan.path is not head.path:
            query = head.target[len(head.path) :]
            plan.line = b"%b %b%b HTTP/1.1\r\n" % (head.method, plan.path, query)
        own, lines = settings.mapping.http.upstream_host, fields.lines
        if settings.sticky is not None:
            plan.tokens, lines = settings.sticky.read(lines)
        if own:
            lines = _HOST.sub(b"", lines)
            if own != "address":
                lines += b"Host: %b\r\n" % own.encode()
        elif fields.host is None:
            # HTTP/1.0 does without; HTTP/1.1 does not.
            lines += b"Host: %b\r\n" % _name_of(self._sock)
        if headers.is_trusted or settings.forwarding.via:
            told = headers.lines(fields, settings.forwarding)
        elif self._told_by is settings and self._told_host is fields.host:
            told = self._told  # the client says nothing that matters for them
        else:
            told = self._told = headers.lines(fields, settings.forwarding)
            self._told_host, self._told_by = fields.host, settings
        plan.lines = lines + told + self._own
        if headers.is_trusted:
            plan.request_id = self.told_id(fields)
        most = settings.mapping.http.max_body
        if 0 <= fields.body <= (most or fields.body):
            plan.size = len(head.raw) + fields.body
        plan.is_ordinary = (
            settings.is_ordinary
            and fields.minor > 0
            and plan.size > 0
            and not (fields.upgrade or fields.binds or fields.expects_continue)
        )

    def told_id(self, fields: Fields) -> bytes:
        """What a trusted proxy calls a request; empty if none does."""
        told = fields.forwarded if self.headers.is_trusted else ()
        return dict(told).get(REQUEST_ID, b"")


def certificate_lines(info: ClientInfo | None) -> bytes:
    """The lines that tell of a client's certificate, as nginx names the verdicts."""
    peer = None if info is None else info.tls
    certificate = None if peer is None else peer.certificate
    if certificate is None:
        return b"X-SSL-Client-Verify: NONE\r\n"
    facts = {
        "Verify": "SUCCESS",
        "CN": certificate.common_name,
        "SAN": ",".join(certificate.alternative_names),
        "Fingerprint": certificate.fingerprint,
    }
    lines = [
        f"X-SSL-Client-{name}: {one_line(value, _LONGEST_FACT)}\r\n"
        for name, value in facts.items()
    ]
    return "".join(lines).encode("utf-8")


def _new_traceparent() -> bytes:
    """The beginning of a trace (https://www.w3.org/TR/trace-context/, 3.2)."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01".encode()


def _name_of(sock: BareSocket) -> bytes:
    """The address that a client has connected to, as a Host."""
    address = sock.getsockname()
    if not isinstance(address, tuple):
        return b"localhost"
    return host_of(*address[:2])


def host_of(address: str, port: int) -> bytes:
    """An address as a Host."""
    if address.startswith("/"):
        return b"localhost"
    return (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode()
