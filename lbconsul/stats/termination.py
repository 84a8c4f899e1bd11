"""How connections end: two letters, in the manner of HAProxy's termination codes.

The first says whose doing it was, the second what the connection was at.
https://docs.haproxy.org/2.6/configuration.html#8.5
"""

from enum import Enum


class Termination(Enum):
    """Why a connection is over."""

    #: Both sides said all they had to.
    DONE = "--"
    #: The client went away while we looked for an upstream.
    CLIENT_LEFT = "CC"
    #: The last upstream tried refused, or there was none.
    REFUSED = "SC"
    #: The last upstream tried did not answer in time.
    CONNECT_TIMEOUT = "sC"
    #: We had no descriptor or local port left to connect with.
    STARVED = "RC"
    #: The mapping's `allow` and `deny` do not let the client in.
    DENIED = "PR"
    #: The client has as many connections as the mapping lets one client have.
    CLIENT_LIMIT = "PL"
    #: Every upstream was full, for the whole queue timeout.
    QUEUE_TIMEOUT = "sQ"
    #: Every upstream was full, and so was the queue.
    QUEUE_FULL = "SQ"
    #: The client went away while it was in the queue.
    QUEUE_LEFT = "CQ"
    #: The client reset the connection, or vanished.
    CLIENT_RESET = "CD"
    #: The upstream reset the connection, or vanished.
    UPSTREAM_RESET = "SD"
    #: Nothing moved for the idle timeout.
    IDLE = "cD"
    #: One side had said all, and nothing moved for the half-close timeout.
    HALF_CLOSED = "sD"
    #: It was as old as a connection may be.
    AGED = "KA"
    #: It was closed so that the client reaches those who joined.
    REBALANCED = "KB"
    #: Its instance left, and the time to end was over; or it turned critical.
    LEFT = "KI"
    #: A bug of ours; the log has the traceback.
    INTERNAL = "I-"
    #: The gateway was being stopped, and its mapping's drain timeout was over.
    SOFT_STOP = "KS"
    #: The gateway was stopped at once, without a drain.
    HARD_STOP = "KH"
    #: A reload had removed its mapping, whose drain timeout was over.
    UNMAPPED = "KM"
    #: Its worker process died.
    WORKER_DIED = "KW"
