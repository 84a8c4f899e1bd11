"""Describes errors of requests to Consul for the log."""

from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from lbconsul.text import one_line

#: How much of an error's text is logged, in characters.
_ERROR = 300


def in_words(error: BaseException | None) -> str:
    """An error as one line for the log; Twisted's wrapping errors are unwrapped."""
    if isinstance(error, ResponseFailed | RequestTransmissionFailed):
        reasons: list[Failure] = error.reasons
        return ", ".join(in_words(reason.value) for reason in reasons)
    # Some of Twisted's errors carry a whole Failure in their text, others the data
    # that came instead of an answer: one line is enough.
    text = one_line(str(error).partition("[Failure")[0], _ERROR)
    return text or type(error).__name__
