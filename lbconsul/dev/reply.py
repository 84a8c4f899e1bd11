"""Writes HTTP responses with the headers that Consul sends."""

import json

from twisted.web.server import Request


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
