"""What becomes of an accepted socket: a client that is refused, or a session."""

from collections.abc import Callable
from functools import partial

from lbconsul.net.sockets import BareSocket
from lbconsul.proxy.drain_manager import StartingSession
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession

#: Makes a session of a proxy, a client, its address, and the time of its accept.
SessionType = Callable[[MappingProxy, BareSocket, object, float], StartingSession]


def handler_of(proxy: MappingProxy) -> Callable[[BareSocket, object], None]:
    """The function that takes over the sockets of this mapping's clients.

    It is chosen once, so that a mapping without a handshake pays for no condition.
    """
    if proxy.handshaking is None:
        if proxy.split is not None and proxy.http is None:
            from lbconsul.proxy.split_handler import handle_in_parts

            return partial(handle_in_parts, proxy)
        if proxy.hooks is not None:
            return partial(handle, proxy, session_type=_hooked_session_of(proxy))
        if proxy.http is not None:
            # Imported here: other mappings do without its memory.
            from lbconsul.proxy.http_session import HTTPSession

            return partial(handle, proxy, session_type=HTTPSession)
        return partial(handle, proxy)
    # Imported here: most gateways do not need it.
    from lbconsul.proxy.client_handshake import begin_handshake

    return partial(begin_handshake, proxy, proxy.handshaking)


def _hooked_session_of(proxy: MappingProxy) -> SessionType:
    # Imported here: few mappings have hooks.
    if proxy.http is not None:
        from lbconsul.proxy.hooked_http_session import HookedHTTPSession

        return HookedHTTPSession
    from lbconsul.proxy.hooked_session import HookedTcpSession

    return HookedTcpSession


def handle(
    proxy: MappingProxy,
    client: BareSocket,
    address: object,
    session_type: SessionType = TcpSession,
) -> None:
    """Take over the non-blocking socket of a client of this mapping."""
    proxy.accepted += 1
    proxy.stats.accepted += 1
    now = proxy.clock.seconds()
    if proxy.access_control is not None:
        refused = proxy.access_control.refuse(address)
        if refused is not None:
            proxy.turn_away(client, address, now, refused)
            return
    session = session_type(proxy, client, address, now)
    proxy.sessions.add(session)
    proxy.connection_limit.taken += 1
    session.start()
