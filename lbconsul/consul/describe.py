"""Errors of asking Consul, in words for the log."""

from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from lbconsul.text import one_line

#: How much of an error's own words is told, in characters.
_ERROR = 300


def in_words(error: BaseException | None) -> str:
    """An error as words for the log; some of Twisted's wrap others."""
    if isinstance(error, ResponseFailed | RequestTransmissionFailed):
        reasons: list[Failure] = error.reasons
        return ", ".join(in_words(reason.value) for reason in reasons)
    # Some of Twisted's carry a whole Failure in their text: one line is enough.
    # And some hold what came instead of an answer.
    text = one_line(str(error).partition("[Failure")[0], _ERROR)
    return text or type(error).__name__
