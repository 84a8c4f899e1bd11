"""What went wrong with a connection or a request, in words for people.

`docs/reference.md` explains the same codes at length.
"""

#: By termination code.
_TERMINATIONS = {
    "--": "both sides sent all they had",
    "CC": "the client left before an upstream accepted",
    "SC": "no upstream accepted the connection",
    "sC": "the upstream did not accept within connect-timeout",
    "ST": "the TLS handshake with the upstream failed",
    "RC": "the gateway had no descriptor or local port left to connect with",
    "PR": "the client is not allowed, or its request is not valid",
    "PL": "the client has as many connections as one client may have",
    "PF": "the client comes more often than rate-limit allows",
    "PM": "as many requests are under way as max-requests allows",
    "RL": "the process lags behind by more than shed-lag",
    "PX": "the PROXY header was not valid",
    "cX": "the PROXY header did not come in time",
    "CX": "the client left before its PROXY header was complete",
    "PT": "the client's TLS handshake failed",
    "cT": "the client's TLS handshake took too long",
    "CT": "the client left during its TLS handshake",
    "PN": "no route takes this client",
    "cR": "the client sent nothing in time",
    "CR": "the client left before it sent anything",
    "sQ": "all upstreams were full for as long as a client may queue",
    "SQ": "all upstreams were full, and so was the queue",
    "CQ": "the client left the queue: all upstreams were full",
    "SH": "the upstream closed the connection before it answered",
    "sH": "the upstream did not answer within response-timeout",
    "PH": "the upstream's answer was not valid HTTP",
    "KT": "the request took longer than request-timeout",
    "CH": "the client left before the answer",
    "PD": "a body was not valid",
    "CD": "the client reset the connection",
    "SD": "the upstream reset the connection",
    "cD": "nothing moved for idle-timeout",
    "sD": "one side had closed, and nothing moved for half-close-timeout",
    "KA": "the connection reached max-age",
    "KB": "closed so that the client reaches an upstream that joined",
    "KI": "its upstream drained, and drain-timeout was over",
    "I-": "a bug in lbconsul: the log has the traceback",
    "KS": "the gateway was being stopped, and drain-timeout was over",
    "KH": "the gateway was stopped at once",
    "KM": "a reload removed the mapping, and drain-timeout was over",
    "KW": "its worker process died",
}

#: By the reason of an answer of the gateway's own.
_REASONS = {
    "bad-request": "the request was not valid",
    "denied": "the client may not have this",
    "unauthorized": "it has no credentials, or wrong ones",
    "logins-full": "too many passwords wait to be verified",
    "no-route": "no route takes this request",
    "head-timeout": "the head of the request did not come in time",
    "body-too-large": "the body is larger than max-body",
    "uri-too-long": "the target is longer than max-uri",
    "bad-expectation": "the request expects something unknown",
    "head-too-large": "the head of the request is too large",
    "not-supported": "the gateway does not support the request",
    "bad-version": "the version of HTTP is not supported",
    "upstream-tls": _TERMINATIONS["ST"],
    "upstream-closed": _TERMINATIONS["SH"],
    "upstream-left": _TERMINATIONS["KI"],
    "min-rate": "the client sent more slowly than min-rate",
    "bad-response": _TERMINATIONS["PH"],
    "no-upstream": "there was no upstream, or none accepted",
    "drain-timeout": _TERMINATIONS["KS"],
    "queue-timeout": _TERMINATIONS["sQ"],
    "queue-full": _TERMINATIONS["SQ"],
    "no-resources": _TERMINATIONS["RC"],
    "connect-timeout": _TERMINATIONS["sC"],
    "response-timeout": _TERMINATIONS["sH"],
    "request-timeout": _TERMINATIONS["KT"],
    "rate-limited": _TERMINATIONS["PF"],
    "max-requests": _TERMINATIONS["PM"],
    "overloaded": _TERMINATIONS["RL"],
    "other": "the gateway could not serve it",
}

_CAUSES = _TERMINATIONS | _REASONS


def cause_of(code: str, status: int = 0) -> str:
    """What a termination code, or a reason, means.

    `status` is that of an answer: one that an upstream gave in due form is the cause.
    """
    if code == "--" and status:
        return f"the upstream answered {status}"
    return _CAUSES.get(code, code)
