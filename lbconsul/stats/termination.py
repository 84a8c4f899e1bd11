"""How connections end: two letters, modelled on HAProxy's termination states.

The first says which side ended the connection, the second in which phase it was.
https://docs.haproxy.org/2.6/configuration.html#8.5
"""

from enum import Enum


class Termination(Enum):
    """Why a connection is over."""

    #: The two letters.  To read `value` costs two calls in Python 3.11.
    code: str

    #: Whether a client was failed: by the gateway, an upstream, a limit or a rule.
    #: Not if the client itself went away, unless it had to wait, nor if the operator
    #: wants such ends.
    went_wrong: bool

    def __init__(self, code: str) -> None:
        self.code = code
        of_client = code[0] == "C" and code not in ("CC", "CQ")
        self.went_wrong = not of_client and code not in ("--", "KA", "KB")

    #: Both sides sent all their data and closed.
    DONE = "--"
    #: The client closed while the dialer looked for an upstream.
    CLIENT_LEFT = "CC"
    #: The last upstream tried refused, or there was none.
    REFUSED = "SC"
    #: The last upstream tried did not answer in time.
    CONNECT_TIMEOUT = "sC"
    #: The TLS handshake with the last upstream tried failed.
    UPSTREAM_TLS_FAILED = "ST"
    #: The gateway had no descriptor or local port left to connect with, or no time for
    #: the TLS handshake.
    STARVED = "RC"
    #: The mapping's `allow`, `deny` or `hooks` do not let the client in; or a request
    #: is malformed, or too large.
    DENIED = "PR"
    #: The client has as many connections as the mapping allows one client.
    CLIENT_LIMIT = "PL"
    #: The client comes more often than a rate limit allows.
    RATE_LIMITED = "PF"
    #: As many requests are under way as the mapping allows.
    REQUEST_LIMIT = "PM"
    #: The process lags behind, and turns a part of its load away.
    OVERLOADED = "RL"
    #: The PROXY header was not valid, did not come in time, or the client left first.
    BAD_HEADER = "PX"
    HEADER_TIMEOUT = "cX"
    HEADER_LEFT = "CX"
    #: The TLS handshake failed, or what came was no TLS; it took too long; or the
    #: client left before.
    TLS_FAILED = "PT"
    TLS_TIMEOUT = "cT"
    TLS_LEFT = "CT"
    #: No route takes the client, and the mapping has no service of its own.
    NO_ROUTE = "PN"
    #: The client's first byte, or the head of its request, did not come in time, or the
    #: client left first.
    FIRST_BYTE_TIMEOUT = "cR"
    FIRST_BYTE_LEFT = "CR"
    #: Every upstream was full for the whole queue timeout.
    QUEUE_TIMEOUT = "sQ"
    #: Every upstream was full, and so was the wait queue.
    QUEUE_FULL = "SQ"
    #: The client closed while it was in the wait queue.
    QUEUE_LEFT = "CQ"
    #: The upstream ended before the head of its response, or took too long for it; or
    #: what it sent is no valid response.
    UPSTREAM_LEFT = "SH"
    RESPONSE_TIMEOUT = "sH"
    BAD_RESPONSE = "PH"
    #: The request took longer than the mapping allows.
    REQUEST_TIMEOUT = "KT"
    #: The client reset the connection, or vanished, before the head of the response.
    CLIENT_LEFT_RESPONSE = "CH"
    #: The body of a response is not valid, or that of a request that is answered.
    BAD_BODY = "PD"
    #: The client reset the connection, or vanished.
    CLIENT_RESET = "CD"
    #: The upstream reset the connection, or vanished.
    UPSTREAM_RESET = "SD"
    #: No data moved for the idle timeout.
    IDLE = "cD"
    #: One side had closed, and no data moved for the half-close timeout.
    HALF_CLOSED = "sD"
    #: The connection reached its maximum age.
    AGED = "KA"
    #: Rebalancing closed it to let the client reach upstreams that joined.
    REBALANCED = "KB"
    #: Its upstream drained, and the drain timeout was over; or turned critical.
    LEFT = "KI"
    #: A bug in lbconsul; the log has the traceback.
    INTERNAL = "I-"
    #: The gateway was being stopped, and its mapping's drain timeout was over.
    SOFT_STOP = "KS"
    #: The gateway was stopped at once, without a drain.
    HARD_STOP = "KH"
    #: A reload had removed its mapping, whose drain timeout was over.
    UNMAPPED = "KM"
    #: Its worker process died.
    WORKER_DIED = "KW"
