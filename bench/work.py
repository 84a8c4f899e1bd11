"""What is asked of each balancer, and what is measured in which unit."""

from collections.abc import Sequence

from attrs import evolve, frozen

from bench import browser
from bench.load import Load

_MEGABYTE = 1e6


@frozen
class Measure:
    """One kind of number."""

    title: str
    unit: str


@frozen
class Work:
    """A load of wrk's."""

    path: str
    connections: int
    #: What the cost is divided by: ``request``, ``connection`` or ``MB``.
    per: str
    extra: Sequence[str] = ()
    #: Which of a balancer's listeners it goes to, where a balancer has several.
    listener: str = ""
    #: Whether each connection resumes an earlier TLS session, which wrk cannot.
    resumes: bool = False
    #: What wrk is to do, in Lua.
    script: str = ""
    #: The body that a POST sends; empty with a GET.
    posts: bytes = b""
    #: How many bytes the body of the answer has, and whether it comes in chunks.
    length: int = 100
    chunked: bool = False
    #: Whether the body is `bench.text.text`, which comes compressed.
    compressed: bool = False

    def amount(self, load: Load) -> float:
        """How much of it was done, in `per`."""
        return load.bytes / _MEGABYTE if self.per == "MB" else load.requests


WORK: dict[str, Work] = {
    "keep-alive": Work("small", 32, "request"),
    "new connection": Work("small", 32, "connection", ("-H", "Connection: close")),
    "64 KiB bodies": Work("64k", 32, "request"),
    "100 MiB bodies": Work("100m", 4, "MB"),
}

_NEW = WORK["new connection"]

#: Work for listeners that terminate TLS, route it, or know the PROXY protocol.  wrk
#: resumes no session: with it a new connection is a full handshake.
TLS_WORK: dict[str, Work] = {
    **{
        f"TLS, {name}": evolve(WORK[which], listener="tls")
        for name, which in {
            "keep-alive": "keep-alive",
            "full handshake": "new connection",
            "64 KiB bodies": "64 KiB bodies",
            "100 MiB bodies": "100 MiB bodies",
        }.items()
    },
    "TLS, resumed handshake": evolve(_NEW, listener="tls", resumes=True),
    "TLS not decrypted": evolve(_NEW, listener="passthrough"),
    "TLS not decrypted, by SNI": evolve(_NEW, listener="sni"),
    "no PROXY header": evolve(_NEW, listener="plain"),
    "PROXY header sent": evolve(_NEW, listener="send-proxy"),
    "PROXY header accepted": evolve(_NEW, listener="accept-proxy"),
}

#: Work whose cost beside another's of the same balancer is that of one feature.
ADDED = {
    "TLS not decrypted, by SNI": "TLS not decrypted",
    "PROXY header sent": "no PROXY header",
    "PROXY header accepted": "no PROXY header",
}

_BROWSER = Work("small", 32, "request", browser.arguments(), listener="plain")
_BODIES = evolve(_BROWSER, path="64k", length=64 << 10)
_CHUNKED = evolve(_BODIES, path="chunked/64k", chunked=True)

#: Work for listeners in HTTP mode.  All requests have a browser's nine header fields.
HTTP_WORK: dict[str, Work] = {
    "HTTP, keep-alive": _BROWSER,
    "HTTP, Cookie and target vary": evolve(_BROWSER, extra=(), script=browser.VARYING),
    "HTTP, new client connection": evolve(
        _BROWSER, per="connection", extra=browser.arguments(Connection="close")
    ),
    "HTTP, new client, Cookie varies": evolve(
        _BROWSER, per="connection", extra=(), script=browser.NEW_CLIENTS
    ),
    "HTTP, 64 KiB": _BODIES,
    "HTTP, chunked 64 KiB": _CHUNKED,
    "HTTP, chunked 1 KiB": evolve(_CHUNKED, path="chunked/1k", length=1 << 10),
    "HTTP, gzip 64 KiB": evolve(
        _BODIES, path="text", listener="gzip", compressed=True, chunked=True
    ),
    "HTTP, POST 16 KiB": evolve(
        _BROWSER, path="post", script=browser.POSTING, posts=browser.POSTED
    ),
    "HTTP, 100 MiB": evolve(
        _BROWSER, path="100m", connections=4, per="MB", length=100 << 20
    ),
    "HTTP, hash by a field": evolve(
        _BROWSER,
        extra=(*browser.arguments(), "-H", "X-Tenant: bench"),
        listener="hash",
    ),
    "HTTP, sticky": evolve(
        _BROWSER, extra=(), script=browser.STICKY, listener="sticky"
    ),
    "HTTP, rate limit": evolve(_BROWSER, listener="limited"),
    "HTTP over TLS, keep-alive": evolve(_BROWSER, listener="tls"),
    "HTTP over TLS, 64 KiB": evolve(_BODIES, listener="tls"),
}

ALL_WORK = {**WORK, **TLS_WORK, **HTTP_WORK}

CPU = {name: Measure(f"CPU, {name}", f"us/{w.per}") for name, w in ALL_WORK.items()}
PACE = {
    name: Measure(f"Throughput, {name}", f"{w.per}/s") for name, w in ALL_WORK.items()
}

P50 = Measure("Latency p50 at half load", "us")
P99 = Measure("Latency p99 at half load", "us")
RATE = Measure("Half load", "requests/s")

START_MEMORY = Measure("Memory at start", "MiB")
IDLE_MEMORY = Measure("Memory of an idle connection", "KiB")
TLS_MEMORY = Measure("Memory of an idle connection, TLS", "KiB")

HTTP_P50 = Measure("Latency p50 at half load, HTTP", "us")
HTTP_P99 = Measure("Latency p99 at half load, HTTP", "us")
HTTP_RATE = Measure("Half load, HTTP", "requests/s")
HTTP_MEMORY = Measure("Memory of an idle keep-alive client, HTTP", "KiB")
HTTP_CALLS = Measure("Python calls, HTTP keep-alive", "calls/request")
HTTP_SYSCALLS = Measure("System calls, HTTP keep-alive", "calls/request")

HTTP_BUSY = Measure("CPU, HTTP, N clients, all busy", "us/request")
HTTP_IDLE = Measure("CPU, HTTP, N idle clients and 32 busy ones", "us/request")
HTTP_UPSTREAMS = Measure("CPU, HTTP, N upstreams", "us/request")
HTTP_LOOKUP = Measure("Find one of N routes by host", "us")
HTTP_ROUTES = Measure("CPU, HTTP, N routes by host", "us/request")

CALLS = Measure("Python calls", "calls/connection")

BUSY = Measure("CPU, N connections, all busy", "us/request")
IDLE = Measure("CPU, N idle connections and 32 busy ones", "us/request")

PICK = Measure("Pick one of N upstreams", "us")
RELEASE = Measure("Release one of N upstreams", "us")
REPLACE = Measure("Replace N instances, one changed", "ms")
ANSWER = Measure("Read and replace N instances, one changed", "ms")

MAPPINGS_START = Measure("Start until N mappings serve", "s")
MAPPINGS_MEMORY = Measure("Memory with N mappings", "MiB")
MAPPINGS_CPU = Measure("CPU over N mappings", "us/request")

IDLE_TURN = Measure("Longest turn of the reactor, N idle connections", "ms")
IDLE_CPU = Measure("CPU without load, N idle connections", "% of one processor")
CLOSE_TURN = Measure("Longest turn, N connections closed at once", "ms")
CLOSE_TIME = Measure("Time until N connections are closed", "s")
RELOAD_TIME = Measure("Reload of N mappings, a tenth altered", "ms")
RELOAD_TURN = Measure("Longest turn, reload of N mappings", "ms")

FLAPPING_SHARE = Measure("CPU without load, N changes a second", "% of one processor")
FLAPPING_CPU = Measure("CPU under load, N changes a second", "us/request")
FLAPPING_P50 = Measure("Latency p50, N changes a second", "us")
FLAPPING_P99 = Measure("Latency p99, N changes a second", "us")
