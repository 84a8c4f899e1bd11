"""What there is to be shown of HTTP requests, and of what went wrong, as values.

Spans are seconds.
"""

from collections.abc import Mapping

from attrs import Factory, frozen


@frozen(kw_only=True)
class HTTPStatus:
    """The requests of a mapping or route in HTTP mode."""

    #: Requests that are over, by the class of their status: ``1xx`` to ``5xx``, and
    #: ``other`` for those without an answer.  Answers of the gateway's own count, too.
    requests: Mapping[str, int]
    #: Requests that are not over.
    active: int = 0
    #: Connections to upstreams that are kept for further requests.
    idle_connections: int = 0
    #: Requests sent once more; and those sent on a connection that had been kept.
    retries: int = 0
    reused: int = 0
    #: With `sticky`: requests that went to the instance of their client's cookie;
    #: answers with a cookie for a client that had none; and with another one.
    sticky_kept: int = 0
    sticky_new: int = 0
    sticky_moved: int = 0
    #: Responses that were compressed, and bytes of their content before and after.
    compressed: int = 0
    compressed_bytes_in: int = 0
    compressed_bytes_out: int = 0
    #: Answers of the gateway's own by reason: `docs/reference.md` has the codes.
    refused: Mapping[str, int] = Factory(dict)
    #: Within how long the first byte of half of the latest answers came, and of 99 of
    #: 100; None before the first one.
    first_byte_p50: float | None = None
    first_byte_p99: float | None = None


@frozen(kw_only=True)
class HTTPUpstreamStatus:
    """The requests of one mapping to one upstream, under the names of `HTTPStatus`."""

    requests: Mapping[str, int]
    first_byte_p50: float | None = None
    first_byte_p99: float | None = None


@frozen(kw_only=True)
class UnhappyStatus:
    """A request that was answered with 5xx, or whose answer was cut."""

    #: When it was over, since the epoch.
    time: float
    #: ``192.0.2.1:4711``.
    client: str
    method: str
    host: str
    #: Without its query, cut to 200 characters.
    path: str
    #: 0 if no answer was sent.
    status: int
    #: The id of the last upstream tried; empty if there was none.
    upstream: str = ""
    #: A code: `docs/reference.md` has them; and what it means, for people to read.
    reason: str = ""
    cause: str = ""
    retries: int = 0


@frozen(kw_only=True)
class UnhappyConnectionStatus:
    """A connection that went wrong; or several in a row, of one client."""

    #: When the last of them was over, since the epoch.
    time: float
    #: ``192.0.2.1:4711``.
    client: str
    #: The id of the last upstream tried; empty if there was none.
    upstream: str = ""
    #: A code: `docs/reference.md` has them; and what it means, for people to read.
    termination: str
    cause: str
    #: What the system or OpenSSL said; empty if nothing.
    error: str = ""
    #: How many upstreams did not accept before.
    retries: int = 0
    #: From accepting the client to the end.
    seconds: float = 0.0
    count: int = 1
