"""HTTP as Consul speaks it: requests, the routes that answer them, and responses."""

import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, unquote

from attrs import frozen
from twisted.web.server import Request

#: Go's texts for true.
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


@frozen
class HTTPError(Exception):
    """Ends a request with this status and this sentence."""

    status: int
    sentence: str


@frozen
class ConsulRequest:
    """One request: the part of its path that names something, and its arguments."""

    name: str
    args: Mapping[str, Sequence[str]]
    body: bytes

    @classmethod
    def of(cls, request: Request, prefix: str) -> "ConsulRequest":
        # Not request.args: it drops arguments without "=", such as Consul's "?stale".
        query = request.uri.decode("ascii", "replace").partition("?")[2]
        args = parse_qs(query, keep_blank_values=True)
        body = b"" if request.content is None else request.content.read()
        return cls(path_of(request).removeprefix(prefix), args, body)

    def has(self, key: str) -> bool:
        return key in self.args

    def first(self, key: str) -> str:
        """The first value of an argument; empty if it is absent."""
        return next(iter(self.args.get(key, ())), "")

    def truth(self, key: str, complaint: str) -> bool:
        """A boolean argument."""
        said = self.first(key)
        if said not in _TRUE + _FALSE:
            raise HTTPError(400, complaint)
        return said in _TRUE

    def consistency(self) -> str:
        """The consistency mode: the one of Consul's three that the request names."""
        if self.has("stale") and self.has("consistent"):
            said = "Cannot specify ?stale with ?consistent, conflicting semantics."
            raise HTTPError(400, said)
        return next((m for m in ("stale", "consistent") if self.has(m)), "leader")


def path_of(request: Request) -> str:
    return unquote(request.path.decode("ascii", "replace"))


#: Reads the catalog: returns its index, and the content as JSON.
View = Callable[[], tuple[int, object]]


@frozen
class Action:
    """A path that changes something, or answers at once."""

    method: str
    answer: Callable[[ConsulRequest], object]


@frozen
class Watch:
    """A path with blocking queries: a GET that can wait for a change."""

    look: Callable[[ConsulRequest], View]
    method: str = "GET"


#: Paths, or prefixes of paths if they end in a slash, and their handlers.
Routes = Mapping[str, Action | Watch]


def send(request: Request, answer: object) -> None:
    """Send an immediate answer: JSON, or nothing on plain success."""
    if answer is None:
        _finish(request, b"")
    else:
        _finish(request, _pretty(answer), "application/json")


def show(request: Request, seen: tuple[int, object], consistency: str) -> None:
    """Send catalog content, with the index of its last change."""
    index, listed = seen
    request.setHeader("X-Consul-Effective-Consistency", consistency)
    _describe(request, max(1, index), known_leader=True)
    send(request, listed)


def refuse(request: Request, status: int, said: str, lost: bool = False) -> None:
    """Send an error sentence; `lost` if no server could be reached."""
    request.setResponseCode(status)
    if lost:
        _describe(request, 1, known_leader=False)
    _finish(request, said.encode(), "text/plain; charset=utf-8")


def allow(request: Request, method: str, refused: str = "") -> None:
    """Send the methods that the path allows, and that the refused one is not
    among them.
    """
    request.setHeader("Allow", f"OPTIONS,{method}")
    if refused:
        refuse(request, 405, f"method {refused} not allowed")
    else:
        _finish(request, b"")


def _describe(request: Request, index: int, known_leader: bool) -> None:
    request.setHeader("X-Consul-Index", str(index))
    request.setHeader("X-Consul-KnownLeader", str(known_leader).lower())
    request.setHeader("X-Consul-LastContact", "0")


def _pretty(answer: object) -> bytes:
    return json.dumps(answer, indent=4, ensure_ascii=False).encode() + b"\n"


def _finish(request: Request, body: bytes, kind: str = "") -> None:
    request.defaultContentType = kind.encode() or None
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()
