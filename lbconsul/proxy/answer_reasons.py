"""Why a request got an answer of the gateway's own, and which limit that was.  Pure."""

from lbconsul.config.model import Mapping
from lbconsul.stats.termination import Termination
from lbconsul.text import decimal

#: The reasons that operators read in the log, metrics and answers.
_REASONS = {
    Termination.FIRST_BYTE_TIMEOUT: "head-timeout",
    Termination.NO_ROUTE: "no-route",
    Termination.RATE_LIMITED: "rate-limited",
    Termination.REQUEST_LIMIT: "max-requests",
    Termination.OVERLOADED: "overloaded",
    Termination.REFUSED: "no-upstream",
    Termination.CONNECT_TIMEOUT: "connect-timeout",
    Termination.UPSTREAM_TLS_FAILED: "upstream-tls",
    Termination.QUEUE_TIMEOUT: "queue-timeout",
    Termination.QUEUE_FULL: "queue-full",
    Termination.STARVED: "no-resources",
    Termination.UPSTREAM_LEFT: "upstream-closed",
    Termination.LEFT: "upstream-left",
    Termination.SOFT_STOP: "drain-timeout",
    Termination.UNMAPPED: "drain-timeout",
    Termination.IDLE: "min-rate",
    Termination.BAD_RESPONSE: "bad-response",
    Termination.RESPONSE_TIMEOUT: "response-timeout",
    Termination.REQUEST_TIMEOUT: "request-timeout",
}

#: The same of requests that are not passed on, by status.
_OF_REFUSED = {
    400: "bad-request",
    401: "unauthorized",
    403: "denied",
    413: "body-too-large",
    414: "uri-too-long",
    417: "bad-expectation",
    431: "head-too-large",
    501: "not-supported",
    503: "logins-full",
    505: "bad-version",
}


#: Of an answer that is for none of these reasons.
_OTHER = "other"

#: All of them.
REASONS = frozenset([*_REASONS.values(), *_OF_REFUSED.values(), _OTHER])


def reason_of(status: int, termination: Termination) -> str:
    """The reason for an answer of the gateway's own with this status."""
    return _REASONS.get(termination) or _OF_REFUSED.get(status, _OTHER)


def limits_of(mapping: Mapping) -> dict[Termination, str]:
    """By the termination that it causes, each time limit as the mapping has it."""
    http, timeouts = mapping.http, mapping.timeouts
    limits = {
        Termination.FIRST_BYTE_TIMEOUT: ("head-timeout", http.head_timeout),
        Termination.CONNECT_TIMEOUT: ("connect-timeout", timeouts.connect),
        Termination.QUEUE_TIMEOUT: (
            "queue-timeout", timeouts.queue or timeouts.connect,
        ),
        Termination.RESPONSE_TIMEOUT: ("response-timeout", http.response_timeout),
        Termination.REQUEST_TIMEOUT: ("request-timeout", http.request_timeout),
        Termination.IDLE: ("idle-timeout", timeouts.idle),
        Termination.SOFT_STOP: ("drain-timeout", mapping.drain.timeout),
        Termination.UNMAPPED: ("drain-timeout", mapping.drain.timeout),
    }  # fmt: skip
    return {
        termination: f"longer than {name}={decimal(seconds)}s"
        for termination, (name, seconds) in limits.items()
    }
