"""Say in the log what became of an upstream."""

from twisted.logger import Logger

from lbconsul.balance.selection import Question
from lbconsul.balance.upstream import Upstream

_log = Logger()


def tell(question: Question, upstream: Upstream, what: str) -> None:
    """One line: it was ejected, or is trusted again, and why."""
    _log.warn(
        "{question}: {upstream} {what}",
        question=str(question),
        upstream=str(upstream.instance),
        what=what,
    )
