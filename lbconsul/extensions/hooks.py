"""Hooks: an operator's own code that is asked about clients, and told of their ends.

No hook can harm a connection: what goes wrong in one is reported, and the client is
served as if there were no hook.
"""

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Protocol

from attrs import define, field

from lbconsul.balance.custom_policy import SLOW
from lbconsul.balance.fault import Fault, FaultKind, Report, in_words
from lbconsul.balance.instance import Identity
from lbconsul.extensions.hook_values import (
    Allow,
    Client,
    Connection,
    Decision,
    Deny,
    Prefer,
)
from lbconsul.text import one_line

#: The methods of hooks; an object may have one of them alone.
METHODS = ("on_accept", "on_end")

#: Most characters of a reason in the log.
_REASON = 200


class Hooks(Protocol):
    """What ``hooks=MODULE:NAME`` names: an object, or a class of such objects.

    An object may lack one of the methods.  The reactor calls them, and all clients of
    the process wait meanwhile: they may not wait for anything.
    """

    def on_accept(self, client: Client) -> Decision:
        """Whether a client is let in, and to which upstream; None lets it in."""

    def on_end(self, connection: Connection) -> None:
        """The connection of a client that this object did not deny is over."""


@define(eq=False)
class GuardedHooks:
    """One object with hooks, as sessions use it."""

    name: str
    _hooks: object
    _seconds: Callable[[], float]
    _report: Report
    _on_accept: Callable[[Client], object] | None = field(init=False)
    _on_end: Callable[[Connection], object] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._on_accept, self._on_end = (
            getattr(self._hooks, each, None) for each in METHODS
        )

    def accept(self, client: Client) -> Decision:
        """What the object decides; None if it does not, or fails."""
        if self._on_accept is None:
            return None
        answer = self._call("on_accept", self._on_accept, client)
        if answer is None or isinstance(answer, Allow | Deny | Prefer):
            return answer
        self._fail("on_accept", f"returned {_kind(answer)}, which is {_NO_DECISION}")
        return None

    def end(self, connection: Connection) -> None:
        """Tell the object of an end."""
        if self._on_end is not None:
            answer = self._call("on_end", self._on_end, connection)
            if iscoroutine(answer):
                self._fail("on_end", f"returned {_kind(answer)}: a hook may not wait")

    def _call(self, method: str, function: Callable[[Any], object], of: object) -> Any:
        began = self._seconds()
        try:
            answer = function(of)
        except (Exception, SystemExit) as error:
            self._fail(method, f"raised {in_words(error)}")
            return None
        took = self._seconds() - began
        if took > SLOW:
            self._report(Fault.slow(self.name, method, took))
        return answer

    def _fail(self, method: str, what: str) -> None:
        then = "; the client is let in" if method == "on_accept" else ""
        self._report(Fault(self.name, method, FaultKind.FAILED, f"{what}{then}"))


_NO_DECISION = "none of Allow(), Deny(), Prefer() and None"


def _kind(answer: object) -> str:
    if iscoroutine(answer):
        answer.close()  # it is never awaited
    return type(answer).__name__


@define(eq=False)
class Visit:
    """A client, and what its mapping's hooks decided."""

    client: Client
    #: Those that are told of the end: all before the one that denied the client.
    _told: list[GuardedHooks] = field(factory=list)
    #: Why the client is denied; empty if it is let in.
    denial: str = ""
    #: The upstream that the first one prefers that does.
    preferred: Identity | None = None

    def end(self, connection: Connection) -> None:
        """Tell them that the connection is over."""
        for each in self._told:
            each.end(connection)

    def ask(self, hooks: GuardedHooks) -> None:
        """Ask one more object."""
        decision = hooks.accept(self.client)
        if isinstance(decision, Deny):
            reason = one_line(str(decision.reason), _REASON)
            self.denial = f"denied by {hooks.name}{reason and ': '}{reason}"
            return
        if isinstance(decision, Prefer) and self.preferred is None:
            self.preferred = decision.identity
        self._told.append(hooks)


@define(eq=False)
class HookChain:
    """The hooks of one mapping, in their order."""

    _all: tuple[GuardedHooks, ...]

    def accept(self, client: Client) -> Visit:
        """Ask about a client, until one denies it."""
        visit = Visit(client)
        for each in self._all:
            visit.ask(each)
            if visit.denial:
                break
        return visit
