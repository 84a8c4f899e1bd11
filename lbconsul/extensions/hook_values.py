"""What hooks are given, and what they answer."""

from collections.abc import Callable

from attrs import field, frozen

from lbconsul.balance.instance import Identity
from lbconsul.balance.upstream_view import UpstreamView


@frozen
class Allow:
    """Let the client in; None says the same."""


@frozen
class Deny:
    """Reset the client's connection; the log has the reason."""

    reason: str = ""


@frozen
class Prefer:
    """Let the client in, to this upstream if it may have one more connection now.

    It is given as one of `Client.upstreams`, or by its `id`.

    :raises ValueError: the text is no id.
    """

    upstream: UpstreamView | str
    identity: Identity = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        chosen = self.upstream
        if isinstance(chosen, str):
            identity = Identity.parse(chosen)
        else:
            identity = chosen.instance.identity
        object.__setattr__(self, "identity", identity)


#: What `on_accept` may return.
Decision = Allow | Deny | Prefer | None


@frozen(eq=False, kw_only=True)
class Client:
    """A client that was accepted.  It equals itself only, and can be a key."""

    #: Its IP address and port; empty and 0 for a client of a UNIX socket.
    address: str = ""
    port: int = 0
    #: The mapping or route, and its service, as in the status.
    mapping: str = ""
    service: str = ""
    #: The server name that it asked for by TLS; empty if there is none.
    server_name: str = ""
    #: The common name of its verified certificate; empty if there is none.
    common_name: str = ""
    #: The address of the proxy whose PROXY header named the client; empty if there is
    #: none.
    via: str = ""
    _upstreams: Callable[[], tuple[UpstreamView, ...]] = field(
        default=tuple[UpstreamView, ...], repr=False
    )

    @property
    def upstreams(self) -> tuple[UpstreamView, ...]:
        """The upstreams that serve its mapping now; full ones are among them."""
        return self._upstreams()


@frozen(eq=False, kw_only=True)
class Connection:
    """A client's connection that is over."""

    client: Client
    #: The last one that it was joined to; None if there was none, and in HTTP mode.
    upstream: UpstreamView | None = None
    #: How it ended: two letters, as in the log.
    termination: str = "--"
    #: From its accept to its end.
    seconds: float = 0.0
    #: Bytes from the client and to it; None in HTTP mode, where requests have them.
    received: int | None = None
    sent: int | None = None
    #: Upstreams that did not accept before.
    retries: int = 0
    #: In HTTP mode, how many requests it had; else None.
    requests: int | None = None
