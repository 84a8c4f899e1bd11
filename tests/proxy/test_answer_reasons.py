"""Why requests get answers of the gateway's own."""

import pytest

from lbconsul.config.http import HTTP
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.proxy.answer_reasons import limits_of, reason_of
from lbconsul.stats.termination import Termination


@pytest.mark.parametrize(
    ("status", "termination", "reason"),
    [
        (400, Termination.DENIED, "bad-request"),
        (431, Termination.DENIED, "head-too-large"),
        (408, Termination.FIRST_BYTE_TIMEOUT, "head-timeout"),
        (503, Termination.QUEUE_FULL, "queue-full"),
        (500, Termination.DENIED, "other"),
    ],
)
def test_reasons(status: int, termination: Termination, reason: str) -> None:
    """A reason is a word, of which there are few."""
    assert reason_of(status, termination) == reason


def test_limits() -> None:
    """A limit is named as the option, with its value."""
    mapping = Mapping("web", TCPListen("0.0.0.0", 80), http=HTTP(response_timeout=2.5))
    limits = limits_of(mapping)
    assert limits[Termination.RESPONSE_TIMEOUT] == "longer than response-timeout=2.5s"
    assert limits[Termination.QUEUE_TIMEOUT] == "longer than queue-timeout=2s"
