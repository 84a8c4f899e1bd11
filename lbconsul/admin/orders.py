"""What an operator orders at the admin listener."""

from collections.abc import Awaitable, Callable

from attrs import define
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import ACCEPTED, CONFLICT, NOT_FOUND, OK, Request

from lbconsul.admin.auth import Authorizer, request_origin
from lbconsul.admin.requests import client
from lbconsul.admin.responses import HTTPError, answer_json
from lbconsul.admin.status_model import StatusSource
from lbconsul.errors import CannotOrder

#: What can be done to an upstream, by its verb.
ORDERS: dict[str, Callable[[StatusSource, str], bool | Awaitable[bool]]] = {
    "drain": lambda source, upstream: source.drain(upstream),
    "undrain": lambda source, upstream: source.undrain(upstream),
    "eject": lambda source, upstream: source.eject(upstream),
}


@define(eq=False)
class Orders:
    """Checks, carries out, answers and logs orders."""

    _log = Logger()
    _source: StatusSource
    _authorizer: Authorizer
    #: Called when something has changed.
    _changed: Callable[[], None]

    async def carry_out(self, verb: str, upstream: str, request: Request) -> None:
        """Do `verb` to an upstream, and answer whether it is done.

        :raises HTTPError: it may not be done, or cannot be.
        """
        self._authorizer.check_change(request_origin(request))
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        try:
            ordered = ORDERS[verb](self._source, upstream)
            is_known = ordered if isinstance(ordered, bool) else await ordered
        except CannotOrder as error:
            if gone:
                return
            raise HTTPError(CONFLICT, " ".join(str(error).split())) from None
        if gone:
            return  # the client left while workers were asked
        if not is_known:
            raise HTTPError(NOT_FOUND, f"no upstream {upstream}")
        self._done(request, f"{verb} {upstream}")
        done = {"done": verb, "upstream": upstream}
        if verb == "drain":
            done["lasts"] = self._source.drains_last
        answer_json(request, OK, done)

    def drain_gateway(self, request: Request) -> None:
        """Accept no client any more, as SIGTERM does.

        :raises HTTPError: it may not be done.
        """
        self._authorizer.check_change(request_origin(request))
        self._done(request, "drain the gateway")
        # First the answer: where no connection is open the gateway ends at once.
        answer_json(request, ACCEPTED, {"done": "drain"})
        self._source.drain_gateway()

    def _done(self, request: Request, order: str) -> None:
        self._changed()
        self._log.info(
            "ordered by {client}: {order}", client=client(request), order=order
        )
