"""What becomes of an accepted socket: a client that is refused, or a session."""

from lbconsul.net.sockets import BareSocket
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession


def handle(proxy: MappingProxy, client: BareSocket, address: object) -> None:
    """Take over the non-blocking socket of a client of this mapping."""
    proxy.accepted += 1
    proxy.stats.accepted += 1
    now = proxy.clock.seconds()
    if proxy.access_control is not None:
        refused = proxy.access_control.refuse(address)
        if refused is not None:
            proxy.turn_away(client, address, now, refused)
            return
    session = TcpSession(proxy, client, address, now)
    proxy.sessions.add(session)
    proxy.connection_limit.taken += 1
    session.start()
