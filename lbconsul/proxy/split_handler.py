"""Gives each client of a mapping that has a split to one of its parts."""

from lbconsul.net.sockets import BareSocket
from lbconsul.proxy.drain_manager import StartingSession
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.post_handshake_session import RoutedSession
from lbconsul.proxy.tcp_session import TcpSession


def handle_in_parts(proxy: MappingProxy, client: BareSocket, address: object) -> None:
    """Take over the non-blocking socket of a client of this mapping.

    As `lbconsul.proxy.handler.handle` does, for connections without a handshake.
    """
    proxy.accepted += 1
    now, control = proxy.clock.seconds(), proxy.access_control
    if control is not None:
        refused = control.refuse(address)
        if refused is not None:
            proxy.stats.accepted += 1
            proxy.turn_away(client, address, now, refused)
            return
    assert proxy.split is not None
    part = proxy.split.of_client(address)
    part.stats.accepted += 1
    admitted = None if part is proxy else control
    session: StartingSession
    if part.hooks is not None:
        # Imported here: few mappings have hooks.
        from lbconsul.proxy.hooked_session import hooked

        session = hooked(part, client, client, address, now, None, admitted)
    elif admitted is not None:
        session = RoutedSession(part, client, client, address, now, None, admitted)
    else:
        session = TcpSession(part, client, address, now)
    part.sessions.add(session)
    part.connection_limit.taken += 1
    session.start()
