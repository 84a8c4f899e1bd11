"""Counts of admin requests, and log lines of refused ones."""

from collections import Counter
from collections.abc import Callable

from attrs import Factory, define
from twisted.logger import Logger
from twisted.web.http import FORBIDDEN, UNAUTHORIZED, Request

from lbconsul.admin.responses import HTTPError

#: The most characters of an order in the log: ids may be long.
_LONGEST = 200


@define(eq=False)
class Requests:
    """Counts requests by what was asked for and the answer's HTTP status.

    Refused orders are logged, and so are requests without the token or from another
    site.  `allow` is the log's rate limit: whether a line of this kind may be written.
    """

    _log = Logger()
    _allow: Callable[[str], bool] = lambda kind: True
    counts: Counter[tuple[str, int]] = Factory(Counter)

    def count(self, what: str, code: int) -> None:
        """Count a request for `what` that was answered with this HTTP status."""
        self.counts[what, code] += 1

    def refused(self, refusal: HTTPError, order: str, request: Request) -> None:
        """Log a refused request; `order` is empty for a request that only reads."""
        if not order and refusal.code not in (UNAUTHORIZED, FORBIDDEN):
            return
        if self._allow("refused requests"):
            what = order or request.path.decode("latin-1")
            self._log.warn(
                "admin: {code} to {client}: {what}: {why}",
                client=client(request),
                code=refusal.code,
                what=what[:_LONGEST],
                why=refusal.sentence,
            )

    def broke(self) -> None:
        """Log a bug that cost an answer; to be called in an ``except`` block."""
        if self._allow("requests that could not be answered"):
            self._log.failure("a bug in lbconsul: a request could not be answered")


def client(request: Request) -> str:
    """The address of a request's client, as it is logged."""
    return str(getattr(request.getClientAddress(), "host", "a UNIX socket"))
