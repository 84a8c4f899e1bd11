"""How requests are served in HTTP mode, as a frozen value."""

from attrs import frozen


@frozen
class HTTP:
    """What mappings and routes with ``mode=http`` have beside their other options.

    Durations are seconds and sizes bytes; 0 is off, or no limit.
    """

    #: For the whole head of a request, from its first byte.
    head_timeout: float = 10.0
    #: Between two requests of a client.
    keepalive_timeout: float = 60.0
    #: For the head of the response, once the request was sent.
    response_timeout: float = 60.0
    #: From the head of the request to the end of the response.
    request_timeout: float = 0.0
    #: Bytes of the head of a request, and of its target.
    max_head: int = 32 << 10
    max_uri: int = 8 << 10
    #: Bytes of the body of a request.
    max_body: int = 0
    #: Bytes a second of a body, below which the exchange ends.
    min_rate: int = 0
    #: Idle connections to each instance that are kept, by each process.
    keep_idle: int = 100
    #: For how long; Node closes them after 5 s, others later.
    keep_idle_time: float = 4.0
    #: Of ``502``, ``503``, ``504`` and ``timeout``: what another instance is tried for.
    retry_on: frozenset[str] = frozenset()
    #: The networks of proxies whose ``X-Forwarded-*`` and ``X-Request-ID`` hold.
    trusted_proxies: tuple[str, ...] = ()
    #: Whether instances get ``Forwarded`` and ``Via``, and clients ``Via``.
    forwarded: bool = False
    via: bool = False
    #: The ``Host`` for instances: empty for the client's, ``address`` for the
    #: instance's, or a name.
    upstream_host: str = ""
    #: Whether a request without ``traceparent`` gets one.
    traceparent: bool = False
    #: Whether instances get facts of the client's certificate.
    client_cert: bool = False
    #: Whether clients get ``Server-Timing``.
    server_timing: bool = False
    #: Header fields that the access log shows, each ``request:NAME`` or
    #: ``response:NAME`` in lower case.
    log_fields: tuple[str, ...] = ()
    #: The file of users and passwords; empty: no client has to log in.
    basic_auth: str = ""
    #: What clients are asked for them for, in quotes.
    realm: str = "Restricted"
    #: Consecutive responses 5xx and timeouts that eject an instance; 0: never.
    eject_5xx: int = 0
