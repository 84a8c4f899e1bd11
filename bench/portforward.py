"""Twisted's `portforward` over several upstreams, taken in turn.

usage: python -m bench.portforward PORT UPSTREAM_PORT...

It knows no health and no load: it shows what relaying over Twisted's
transports costs, and nothing more.
"""

import sys
from itertools import cycle
from typing import Any

from twisted.protocols.portforward import ProxyFactory


class InTurn(ProxyFactory):
    """Gives each connection to the next upstream."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__("127.0.0.1", ports[0])
        self._ports = cycle(ports)

    def buildProtocol(self, addr: Any) -> Any:
        """Called for each connection."""
        self.port = next(self._ports)
        return super().buildProtocol(addr)


def main(port: str, *upstreams: str) -> None:
    """Serve for ever."""
    from twisted.internet import reactor

    factory: Any = InTurn([int(each) for each in upstreams])
    factory.noisy = False
    reactor.listenTCP(int(port), factory, backlog=4096, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
