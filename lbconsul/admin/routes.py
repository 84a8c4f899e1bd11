"""The routes of the admin listener and their handlers."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from urllib.parse import parse_qs

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import (
    BAD_REQUEST,
    INTERNAL_SERVER_ERROR,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    REQUEST_URI_TOO_LONG,
    SERVICE_UNAVAILABLE,
    Request,
)

from lbconsul.admin.auth import Authorizer, request_origin
from lbconsul.admin.documents import Document, gzipped
from lbconsul.admin.event_stream import Stream
from lbconsul.admin.history import LONGEST_STEP, history
from lbconsul.admin.http_server import AdminRequest, cut
from lbconsul.admin.metrics import CONTENT_TYPE, metrics
from lbconsul.admin.orders import ORDERS, Orders
from lbconsul.admin.requests import Requests
from lbconsul.admin.responses import (
    JSON,
    HTTPError,
    answer_text,
    begin,
    joined,
    refuse,
    takes_gzip,
)
from lbconsul.admin.static_files import answer_page, pages
from lbconsul.admin.status_json import status, tag_routes
from lbconsul.admin.status_model import FullStatus, StatusSource
from lbconsul.admin.streaming import StreamingResponse
from lbconsul.admin.upstream_id import from_path
from lbconsul.admin.why_answer import answer_why

#: The longest path, in characters: ids of instances are shorter.
LONGEST_PATH = 4096

#: The most long answers at a time.  With the readers of events they are fewer than
#: `MOST_CONNECTIONS`: a probe always has a connection.
MOST_ANSWERS = 128

#: The most fields of a query string; more are an error.
_MOST_FIELDS = 32

#: The most ``full:`` lines in an answer of ``/readyz``.
_MOST_LINES = 50

_FULL = {
    "max-connections": "max-connections is reached; new clients wait",
    "process": (
        "the process has as many connections as its descriptors allow; new clients wait"
    ),
    "shed-lag": "a process is late; a part of new requests is turned away",
    "descriptors": "no descriptors, ports or memory; new clients wait",
}

_READ = ("GET", "HEAD")
_CHANGE = ("POST",)

#: Answers a request, at once or when the awaitable that it returns is done.
Handler = Callable[[AdminRequest], Awaitable[None] | None]


@frozen
class Route:
    """The handler of a path, and the HTTP methods that it allows."""

    #: The label under which requests are counted: one of few, whatever the path.
    what: str
    methods: tuple[str, ...]
    handler: Handler
    #: The order, as it is logged; empty if the route only reads.
    order: str = ""


@define(eq=False)
class Routes:
    """Routes, authorizes, answers and counts the requests of the admin listener."""

    _reactor: IReactorTime
    _source: StatusSource
    _authorizer: Authorizer
    _stream: Stream
    _requests: Requests = Factory(Requests)
    _documents: dict[str, Document] = field(init=False)
    _orders: Orders = field(init=False)
    #: Long answers that are being written.
    _answers: int = 0

    def __attrs_post_init__(self) -> None:
        made: dict[str, Callable[[], Iterator[bytes]]] = {
            "status": partial(status, self._source),
            "routes": self._read_tag_routes,
            "metrics": partial(metrics, self._source, self._requests.counts),
        }
        self._documents = {
            what: Document(self._reactor, make) for what, make in made.items()
        }
        self._orders = Orders(self._source, self._authorizer, self._forget)

    def answer(self, request: AdminRequest) -> None:
        """Answer one request; errors become HTTP answers."""
        Deferred.fromCoroutine(self._answer(request))

    async def _answer(self, request: AdminRequest) -> None:
        route = _OTHER
        try:
            route = self._route(request)
            self._check_method(request, route)
            answered = route.handler(request)
            if answered is not None:
                await answered
        except HTTPError as refusal:
            refuse(request, refusal)
            self._requests.refused(refusal, route.order, request)
        except Exception:
            self._requests.broke()
            self._broke(request)
        self._requests.count(route.what, request.code)

    def _check_method(self, request: Request, route: Route) -> None:
        if request.method.decode("latin-1") not in route.methods:
            raise HTTPError(
                NOT_ALLOWED,
                f"the method must be {' or '.join(route.methods)}",
                (("Allow", ", ".join(route.methods)),),
            )

    def _route(self, request: Request) -> Route:
        """The route of a request's path; its method is not checked here.

        :raises HTTPError: 404 or 414.
        """
        path = request.path.decode("latin-1")
        if len(path) > LONGEST_PATH:
            raise HTTPError(REQUEST_URI_TOO_LONG, "path too long")
        if path in _PROBES:
            return Route("probe", _READ, partial(_PROBES[path], self))
        if path in _SHOWN:
            show = self._guarded(partial(_SHOWN[path], self))
            return Route(path.removeprefix("/"), _READ, show)
        if path in pages():
            return Route("page", _READ, self._page)
        if path == "/drain":
            order = "drain the gateway"
            return Route("drain gateway", _CHANGE, self._orders.drain_gateway, order)
        if path.startswith("/upstreams/"):
            *segments, verb = path.removeprefix("/upstreams/").split("/")
            upstream = from_path(segments)
            if upstream is not None and verb in ORDERS:
                handler = partial(self._orders.carry_out, verb, upstream)
                return Route(verb, _CHANGE, handler, f"{verb} {upstream}")
        raise HTTPError(NOT_FOUND, "no such path: docs/admin.md lists them")

    def _guarded(self, show: Handler) -> Handler:
        def handler(request: AdminRequest) -> None:
            who = request_origin(request)
            self._authorizer.check_site(who)
            self._authorizer.check_read(who)
            show(request)

        return handler

    def _page(self, request: Request) -> None:
        """The page holds no data: it needs no token, since it asks for the token."""
        self._authorizer.check_site(request_origin(request))
        answer_page(request, pages()[request.path.decode("latin-1")])

    def _health(self, request: Request) -> None:
        answer_text(request, OK, "alive\n")

    def _ready(self, request: Request) -> None:
        gateway = self._source.gateway()
        if gateway.ready:
            # A full gateway still serves; taking it out would overload the others.
            full = gateway.full if gateway.full and self._may_know(request) else ()
            lines = ["ready", *(_full(each) for each in full[:_MOST_LINES])]
            answer_text(request, OK, "".join(f"{_one_line(each)}\n" for each in lines))
            return
        # The status is public, but the reasons name services.
        reasons = gateway.not_ready if self._may_know(request) else ()
        text = "\n".join(_one_line(each) for each in reasons or ("not ready",))
        answer_text(request, SERVICE_UNAVAILABLE, f"{text}\n")

    def _may_know(self, request: Request) -> bool:
        who = request_origin(request)
        try:
            self._authorizer.check_site(who)
            self._authorizer.check_read(who)
        except HTTPError:
            return False
        return True

    def _status(self, request: Request) -> None:
        self._send(request, JSON, self._documents["status"].read)

    def _read_tag_routes(self) -> Iterator[bytes]:
        return tag_routes(self._source.tag_routes)

    def _tag_routes(self, request: Request) -> None:
        self._send(request, JSON, self._documents["routes"].read)

    def _metrics(self, request: Request) -> None:
        self._send(request, CONTENT_TYPE, self._documents["metrics"].read)

    def _history(self, request: AdminRequest) -> None:
        query = _query(request)
        names, step = query.get("mapping", []), _seconds(query.get("step", ["0"])[-1])
        pieces = history(self._source.history, names, step)
        self._send(request, JSON, lambda packed: gzipped(pieces) if packed else pieces)

    def _send(
        self,
        request: Request,
        content_type: str,
        read: Callable[[bool], Iterator[bytes]],
    ) -> None:
        if self._answers >= MOST_ANSWERS:
            raise _busy("too many long answers are in progress")
        more = {"Vary": "Accept-Encoding"}
        packed = takes_gzip(joined(request, "accept-encoding"))
        if packed:
            more["Content_Encoding"] = "gzip"
        begin(request, OK, content_type, **more)
        if request.method == b"HEAD":
            request.finish()
            return
        response = StreamingResponse(self._stream.turns, request, read(packed))
        self._answers += 1
        request.notifyFinish().addBoth(lambda _: self._answered())
        response.begin()

    def _answered(self) -> None:
        self._answers -= 1

    def _events(self, request: AdminRequest) -> None:
        query = _query(request)
        if not self._stream.has_room():
            raise _busy("too many event streams are open")
        known = query.get("since", [None])[-1]
        header = request.getHeader(b"last-event-id")
        if header is not None:
            known = header.decode("latin-1")
        begin(request, OK, "text/event-stream", X_Accel_Buffering="no")
        if request.method == b"HEAD":
            request.finish()
        else:
            figures = query.get("figures") != ["off"]
            self._stream.join(request, known, figures=figures)

    def _why(self, request: AdminRequest) -> None:
        answer_why(self._source, request, _query(request))

    def _forget(self) -> None:
        """Something has changed, which the next ``/status`` must show."""
        for document in self._documents.values():
            document.forget()

    def _broke(self, request: Request) -> None:
        if request.startedWriting:
            cut(request)
        else:
            why = "a bug in lbconsul: the log has details"
            refuse(request, HTTPError(INTERNAL_SERVER_ERROR, why))


def _full(full: FullStatus) -> str:
    what = _FULL.get(full.reason, full.reason)
    return f"full: {full.mapping}: {what}" if full.mapping else f"full: {what}"


def _query(request: AdminRequest) -> dict[str, list[str]]:
    try:
        return parse_qs(request.query.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPError(BAD_REQUEST, "too many query fields") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_STEP:
        problem = f"step must be seconds from 0 to {LONGEST_STEP:g}"
        raise HTTPError(BAD_REQUEST, problem)
    return seconds


def _busy(why: str) -> HTTPError:
    return HTTPError(
        SERVICE_UNAVAILABLE, f"{why}: try again later", (("Retry-After", "10"),)
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


#: Counts requests that match no route.
_OTHER = Route("other", (), lambda request: None)

_Show = Callable[[Routes, AdminRequest], None]

#: Health probes: open to every client.
_PROBES: dict[str, _Show] = {"/healthz": Routes._health, "/readyz": Routes._ready}
_SHOWN: dict[str, _Show] = {
    "/status": Routes._status,
    "/routes": Routes._tag_routes,
    "/metrics": Routes._metrics,
    "/events": Routes._events,
    "/history": Routes._history,
    "/why": Routes._why,
}
