"""What can be asked for, and how it is answered."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import (
    ACCEPTED,
    INTERNAL_SERVER_ERROR,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    REQUEST_URI_TOO_LONG,
    SERVICE_UNAVAILABLE,
    Request,
)

from lbconsul.admin.answers import (
    JSON,
    Refusal,
    answer_json,
    answer_text,
    begin,
    refuse,
)
from lbconsul.admin.guard import Guard, asker
from lbconsul.admin.identity import from_path
from lbconsul.admin.metrics import CONTENT_TYPE, metrics
from lbconsul.admin.model import Source
from lbconsul.admin.pages import answer_page, pages
from lbconsul.admin.pour import Pour
from lbconsul.admin.site import cut
from lbconsul.admin.status import status
from lbconsul.admin.stream import Stream

#: Longer paths are not looked at, in characters: ids of instances are shorter.
LONGEST_PATH = 4096

_READ = ("GET", "HEAD")
_CHANGE = ("POST",)

Handler = Callable[[Request], None]


@define(eq=False)
class Routes:
    """Answers requests, as far as the guard lets them through."""

    _log = Logger()
    _reactor: IReactorTime
    _source: Source
    _guard: Guard
    _stream: Stream

    def answer(self, request: Request) -> None:
        """Answer one request, whatever it is."""
        try:
            self._answer(request)
        except Refusal as refusal:
            refuse(request, refusal)
        except Exception:
            self._log.failure("a bug in lbconsul: a request could not be answered")
            self._broke(request)

    def _answer(self, request: Request) -> None:
        path = request.path.decode("latin-1")
        if len(path) > LONGEST_PATH:
            raise Refusal(REQUEST_URI_TOO_LONG, "no path here is that long")
        methods, handler = self._route(path)
        method = request.method.decode("latin-1")
        if method not in methods:
            raise Refusal(
                NOT_ALLOWED,
                f"this can only be asked for by {' or '.join(methods)}",
                (("Allow", ", ".join(methods)),),
            )
        handler(request)

    def _route(self, path: str) -> tuple[tuple[str, ...], Handler]:
        """What answers to a path, and the methods for it."""
        if path in _PROBES:
            return _READ, lambda request: _PROBES[path](self, request)
        if path in _SHOWN:
            return _READ, self._guarded(_SHOWN[path])
        if path in pages():
            return _READ, self._page
        if path == "/drain":
            return _CHANGE, self._drain_gateway
        if path.startswith("/upstreams/"):
            *segments, verb = path.removeprefix("/upstreams/").split("/")
            upstream = from_path(segments)
            if upstream is not None and verb in _ORDERS:
                return _CHANGE, lambda request: self._order(request, verb, upstream)
        raise Refusal(NOT_FOUND, "there is nothing here: see docs/admin.md")

    def _guarded(self, show: "Callable[[Routes, Request], None]") -> Handler:
        def handler(request: Request) -> None:
            who = asker(request)
            self._guard.check_site(who)
            self._guard.check_read(who)
            show(self, request)

        return handler

    def _page(self, request: Request) -> None:
        """The page tells nothing by itself, so that it can ask for the token."""
        self._guard.check_site(asker(request))
        answer_page(request, pages()[request.path.decode("latin-1")])

    def _health(self, request: Request) -> None:
        answer_text(request, OK, "alive\n")

    def _ready(self, request: Request) -> None:
        gateway = self._source.gateway()
        if gateway.ready:
            answer_text(request, OK, "ready\n")
            return
        # Anybody may know that it is not; why not names services.
        reasons = gateway.not_ready if self._may_know(request) else ()
        text = "\n".join(_one_line(each) for each in reasons or ("not ready",))
        answer_text(request, SERVICE_UNAVAILABLE, f"{text}\n")

    def _may_know(self, request: Request) -> bool:
        who = asker(request)
        try:
            self._guard.check_site(who)
            self._guard.check_read(who)
        except Refusal:
            return False
        return True

    def _status(self, request: Request) -> None:
        self._pour(request, JSON, status(self._source))

    def _metrics(self, request: Request) -> None:
        self._pour(request, CONTENT_TYPE, metrics(self._source))

    def _pour(
        self, request: Request, content_type: str, pieces: Iterator[bytes]
    ) -> None:
        begin(request, OK, content_type)
        if request.method == b"HEAD":
            request.finish()
        else:
            Pour(self._reactor, request, pieces).begin()

    def _events(self, request: Request) -> None:
        if self._stream.is_full:
            raise Refusal(
                SERVICE_UNAVAILABLE,
                "as many as may listen do so already: try again later",
                (("Retry-After", "10"),),
            )
        query = parse_qs(request.uri.partition(b"?")[2].decode("latin-1"))
        header = request.getHeader(b"last-event-id")
        known = query.get("since", [None])[0]
        if header is not None:
            known = header.decode("latin-1")
        begin(request, OK, "text/event-stream", X_Accel_Buffering="no")
        if request.method == b"HEAD":
            request.finish()
        else:
            figures = query.get("figures") != ["off"]
            self._stream.join(request, known, figures=figures)

    def _order(self, request: Request, verb: str, upstream: str) -> None:
        self._guard.check_change(asker(request))
        if not _ORDERS[verb](self._source, upstream):
            raise Refusal(NOT_FOUND, f"there is no upstream {upstream}")
        self._tell(request, f"{verb} {upstream}")
        answer_json(request, OK, {"done": verb, "upstream": upstream})

    def _drain_gateway(self, request: Request) -> None:
        self._guard.check_change(asker(request))
        self._tell(request, "drain the gateway")
        self._source.drain_gateway()
        answer_json(request, ACCEPTED, {"done": "drain"})

    def _tell(self, request: Request, order: str) -> None:
        host = getattr(request.getClientAddress(), "host", "a UNIX socket")
        self._log.info("ordered by {client}: {order}", client=host, order=order)

    def _broke(self, request: Request) -> None:
        if request.startedWriting:
            cut(request)
        else:
            why = "a bug in lbconsul: its log says more"
            refuse(request, Refusal(INTERNAL_SERVER_ERROR, why))


def _one_line(text: str) -> str:
    return " ".join(text.split())


_Show = Callable[[Routes, Request], None]

#: What machines ask to see whether it lives: anybody may.
_PROBES: dict[str, _Show] = {"/healthz": Routes._health, "/readyz": Routes._ready}
_SHOWN: dict[str, _Show] = {
    "/status": Routes._status,
    "/metrics": Routes._metrics,
    "/events": Routes._events,
}
_ORDERS: dict[str, Callable[[Source, str], bool]] = {
    "drain": lambda source, upstream: source.drain(upstream),
    "undrain": lambda source, upstream: source.undrain(upstream),
    "eject": lambda source, upstream: source.eject(upstream),
}
