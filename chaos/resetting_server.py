"""A server that resets each connection right after it was accepted.

Not in the same instant: the gateway is to see an open connection, and to have passed
on a request, which cannot be taken back.

usage: python -m chaos.resetting_server NAME HOST PORT
"""

import socket
import struct
import sys
import time

from tests.support.web_server import WebServer

#: Between the two, in seconds.
PAUSE = 0.002


class ResettingServer(WebServer):
    """The same as a process."""

    module = "chaos.resetting_server"


def main(name: str, host: str, port: str) -> None:
    """Accept for ever."""
    with socket.create_server((host, int(port)), backlog=1024) as listening:
        while True:
            accepted, _ = listening.accept()
            time.sleep(PAUSE)
            at_once = struct.pack("ii", 1, 0)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            accepted.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
