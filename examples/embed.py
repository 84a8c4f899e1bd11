"""A gateway inside a Twisted program of your own.

usage: python examples/embed.py CONSUL PORT OWN_PORT

Balances PORT over the instances of the service webserver, and OWN_PORT too, by
an endpoint that this program opens itself.  It runs until it is interrupted.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver

from lbconsul import Gateway, Mapping, configure


async def main(reactor: Any, consul: str, port: str, own_port: str) -> None:
    """Balance until the reactor stops."""
    # The same texts, and the same options, as on the command line.
    config = configure([consul], [f"{port}:webserver"], connect_timeout="1s")

    # A gateway is a service: give it a parent, or start and stop it yourself.
    gateway = Gateway(reactor, config)
    gateway.startService()
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)

    # Another way in: any endpoint of plain sockets, and a factory to go with it.
    factory = gateway.proxy_factory(Mapping("webserver", policy="roundrobin"))
    await serverFromString(reactor, f"tcp:{own_port}").listen(factory)

    await Deferred()  # whatever else your program does


if __name__ == "__main__":
    log = textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
    react(main, sys.argv[1:])
