"""What becomes of requests: counted, and told in the log where it matters."""

from collections import Counter
from collections.abc import Callable

from attrs import Factory, define
from twisted.logger import Logger
from twisted.web.http import FORBIDDEN, UNAUTHORIZED, Request

from lbconsul.admin.responses import HTTPError

#: So much of an order is told in the log, in characters: ids may be long.
_LONGEST = 200


@define(eq=False)
class Requests:
    """Counts requests by what was asked for and the code of the answer.

    Refused orders are told in the log, and so is who lacks the token, or comes from
    another site.  `lets` says whether one more line of a kind may be written.
    """

    _log = Logger()
    _lets: Callable[[str], bool] = lambda kind: True
    counts: Counter[tuple[str, int]] = Factory(Counter)

    def count(self, what: str, code: int) -> None:
        """A request for `what` got an answer with this code."""
        self.counts[what, code] += 1

    def refused(self, refusal: HTTPError, order: str, request: Request) -> None:
        """A request was refused; `order` is empty if nothing was ordered."""
        if not order and refusal.code not in (UNAUTHORIZED, FORBIDDEN):
            return
        if self._lets("refused requests"):
            what = order or request.path.decode("latin-1")
            self._log.warn(
                "admin: refused to {client} with {code}: {what}: {why}",
                client=client(request),
                code=refusal.code,
                what=what[:_LONGEST],
                why=refusal.sentence,
            )

    def broke(self) -> None:
        """A bug of ours cost an answer; to be called where the error is handled."""
        if self._lets("requests that could not be answered"):
            self._log.failure("a bug in lbconsul: a request could not be answered")


def client(request: Request) -> str:
    """Where a request comes from, as the log tells it."""
    return str(getattr(request.getClientAddress(), "host", "a UNIX socket"))
