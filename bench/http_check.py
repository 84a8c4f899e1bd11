"""Whether a balancer in HTTP mode does what is to be measured."""

import gzip
from collections.abc import Sequence
from contextlib import closing

from bench.peers.listeners import Listening
from bench.processes import client
from bench.stage import Stage
from bench.text import text
from bench.work import HTTP_WORK, Work

#: Clients whose requests are to go out on few upstream connections.
_CLIENTS = 30

#: How long an answer may take, in seconds; the longest has 100 MiB.
_PATIENCE = 30.0


def check(stage: Stage, peer: Listening, todo: Sequence[str], reuses: bool) -> None:
    """Ask once for each kind of work, and see what comes.

    :raises RuntimeError: an answer is wrong, or upstream connections are not used
        again where they should be, or the other way round.
    """
    for name in todo:
        work = HTTP_WORK[name]
        if said := wrong(work, peer.ports[work.listener]):
            raise RuntimeError(f"{name}: {said}")
    opened = _opened(stage, peer.ports["plain"])
    if (opened <= _CLIENTS // 2) != reuses:
        raise RuntimeError(f"{_CLIENTS} clients took {opened} upstream connections")


def wrong(work: Work, port: int) -> str:
    """In what the answer differs from what is to be measured; empty if it does not."""
    with closing(client(port, _PATIENCE, tls=work.listener == "tls")) as asking:
        method = "POST" if work.posts else "GET"
        coding = "gzip" if work.compressed else "identity"
        fields = {"Accept-Encoding": coding}
        asking.request(method, f"/{work.path}", work.posts or None, fields)
        answer = asking.getresponse()
        body = answer.read()
    if answer.status != 200:
        return f"answered with {answer.status}"
    if answer.getheader("Content-Encoding", "identity") != coding:
        return "not compressed" if work.compressed else "compressed"
    if work.compressed:
        body = gzip.decompress(body)
    if body != (text() if work.compressed else b"x" * work.length):
        return f"a body of {len(body)} bytes is not the {work.length} asked for"
    if (answer.getheader("Transfer-Encoding") == "chunked") != work.chunked:
        return "in chunks" if not work.chunked else "not in chunks"
    return ""


def _opened(stage: Stage, port: int) -> int:
    """How many upstream connections so many clients take, one after the other."""
    before = stage.seen().accepted
    small = HTTP_WORK["HTTP, keep-alive"]
    for _ in range(_CLIENTS):
        if said := wrong(small, port):
            raise RuntimeError(said)
    return stage.seen().accepted - before - 1  # the one that asks for the count
