"""Availability: which mappings have had a usable instance, and why others have none.

A service that is misspelt looks like one that is scaled to zero: Consul's answer is
an empty list.  So a mapping that never had an instance is warned of, and keeps the
gateway from being ready; one that had some and has lost them does not.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Protocol

from attrs import Factory, define, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.balance.emptiness import why_empty
from lbconsul.balance.events import EventKind, MappingEvent
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    PoolSpec,
    ServiceQuery,
)
from lbconsul.balance.registry import Registry
from lbconsul.config.model import Mapping
from lbconsul.consul.hints import NO_DATACENTER, Hints, Page
from lbconsul.gateway.events import Note
from lbconsul.proxy.targets import failover_spec

#: So soon after a mapping is known to be empty it is warned of: what is found out
#: within that time is told together.  In seconds.
SOON = 0.2

#: So many mappings are named at a time; and the next ones not before so many seconds.
NAMED, PAUSE = 20, 5.0

#: An answer of Consul's that is none of instances begins with its status.
_REFUSED = re.compile(r"\d{3}: ")

#: What a mapping needs: the same after a reload that alters something else of it.
_Needs = tuple[tuple[ServiceQuery, InstanceFilter], ...]


class Answers(Protocol):
    """What Consul has said: the watches."""

    def skipped(self, question: ServiceQuery) -> Collection[str]:
        """Why registrations of its last answer are no instances."""

    def error(self, question: ServiceQuery) -> str:
        """What asking it fails with at present; empty if it does not fail."""

    @property
    def page(self) -> Page:
        """Asks for a page of Consul's API."""


@frozen(eq=False)
class _Needed:
    """A mapping that never had an instance."""

    mapping: Mapping
    route: FailoverSpec
    #: Whether a reload brought it.
    is_late: bool

    @property
    def needs(self) -> _Needs:
        return tuple((each.question, each.rules) for each in self.route.selections)


@define(eq=False)
class Availability(Service):
    """Warns of mappings that never had a usable instance, each once."""

    _log = Logger()
    _reactor: Any
    _registry: Registry
    _answers: Answers
    _note: Note
    _hints: Hints = Factory(
        lambda self: Hints(self._reactor, self._answers.page), takes_self=True
    )
    #: Whether every mapping had an instance at some time: what is empty later, or
    #: comes with a reload, takes no gateway out of service that serves.
    was_complete: bool = False
    #: The mappings that never had one.
    _needed: dict[Mapping, _Needed] = Factory(dict)
    _by_question: dict[ServiceQuery, dict[Mapping, None]] = Factory(dict)
    #: Those of them for whose sake the gateway is not ready.
    _blocking: dict[Mapping, None] = Factory(dict)
    #: What served mappings need that had an instance at some time.
    _had: set[_Needs] = Factory(set)
    #: Those to be warned of; and of the others why they were empty when they were
    #: warned of, and that with a hint.
    _due: dict[Mapping, None] = Factory(dict)
    _told: dict[Mapping, tuple[str, str]] = Factory(dict)
    _telling: Deferred[None] | None = None

    def add(self, mapping: Mapping, *, is_late: bool = False) -> None:
        """This one is served, too; `is_late` says that a reload brought it."""
        needed = _Needed(mapping, failover_spec(mapping), is_late)
        if needed.needs in self._had:
            return
        self._needed[mapping] = needed
        self._blocking[mapping] = None
        for each in needed.route.selections:
            self._by_question.setdefault(each.question, {})[mapping] = None
        self._look(needed)

    def replace(self, mappings: Iterable[Mapping]) -> None:
        """Just these are served from now on."""
        for _ in self.replacing(mappings):
            pass

    def replacing(self, mappings: Iterable[Mapping]) -> Iterator[bool]:
        """The same, one after the other."""
        served, needs = dict[Mapping, FailoverSpec](), set[_Needs]()
        for mapping in mappings:
            route = served[mapping] = failover_spec(mapping)
            needs.add(_Needed(mapping, route, False).needs)
            yield False
        for gone in [each for each in self._needed if each not in served]:
            self._forget(gone)
            yield False
        self._had &= needs
        for mapping in served:
            if mapping not in self._needed:
                self.add(mapping, is_late=True)
            yield False
        self._settle()

    def look(self, question: ServiceQuery) -> None:
        """Consul has answered it, or failed to."""
        for mapping in tuple(self._by_question.get(question, ())):
            self._look(self._needed[mapping])

    def blocks(self, mapping: Mapping) -> str:
        """Why the gateway is not ready for the sake of this mapping, or nothing."""
        if self.was_complete or mapping not in self._blocking:
            return ""
        why = self.why(mapping)
        if why:
            return f"no usable instance yet: {why}"
        errors = (
            self._answers.error(each.question)
            for each in self._needed[mapping].route.selections
        )
        refused = next((each for each in errors if _REFUSED.match(each)), "")
        return "no answer from Consul yet" + (f": {refused}" if refused else "")

    def why(self, mapping: Mapping) -> str:
        """Why it has no usable instance now; empty if it has one or that is unknown."""
        route = failover_spec(mapping)
        if any(self._registry.pool(each).candidates for each in route.selections):
            return ""
        why = self._why(route)
        before, text = self._told.get(mapping, ("", ""))
        return text if why == before else why

    def startService(self) -> None:
        super().startService()
        self._tell_soon()

    def stopService(self) -> None:
        super().stopService()
        if self._telling is not None:
            self._telling.cancel()

    def _look(self, needed: _Needed) -> None:
        mapping = needed.mapping
        pools = [self._registry.pool(each) for each in needed.route.selections]
        if any(map(self._has_instance, pools)):
            self._found(needed)
        elif self._why(needed.route) and mapping not in self._told:
            if mapping.allow_empty:
                self._blocking.pop(mapping, None)
            self._due[mapping] = None
            self._tell_soon()
        self._settle()

    def _has_instance(self, pool: Pool) -> bool:
        """Whether one is usable, or would be but for an operator."""
        if pool.candidates:
            return True
        drained = self._registry.resting
        return any(each.instance.identity in drained for each in pool.upstreams())

    def _found(self, needed: _Needed) -> None:
        mapping = needed.mapping
        if mapping in self._told:
            self._log.info("{mapping}: has a usable instance now", mapping=str(mapping))
            self._tell_event(needed, EventKind.AVAILABLE)
        self._had.add(needed.needs)
        self._forget(mapping)

    def _forget(self, mapping: Mapping) -> None:
        needed = self._needed.pop(mapping)
        for each in needed.route.selections:
            others = self._by_question[each.question]
            others.pop(mapping, None)
            if not others:
                del self._by_question[each.question]
        for known in (self._blocking, self._due, self._told):
            known.pop(mapping, None)

    def _settle(self) -> None:
        if not self._blocking:
            self.was_complete = True

    def _why(self, route: FailoverSpec) -> str:
        """Why no selection has a usable instance; empty if that is not known yet."""
        reasons = [self._why_selection(each) for each in route.selections]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    def _why_selection(self, selection: PoolSpec) -> str:
        question, registry = selection.question, self._registry
        if registry.answered(question):
            skipped = self._answers.skipped(question)
            drained = registry.resting.keys()
            instances = registry.known(question)
            why = why_empty(instances, selection.rules, drained, skipped)
            return why or f"Consul shows no instance of {question}"
        error = self._answers.error(question)
        return error if NO_DATACENTER in error else ""

    def _tell_soon(self) -> None:
        if self._due and self._telling is None and self.running:
            self._telling = Deferred.fromCoroutine(self._tell())
            self._telling.addErrback(self._failed).addCallback(self._done)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("a bug in lbconsul", failure)

    def _done(self, _: object) -> None:
        self._telling = None
        self._tell_soon()

    async def _tell(self) -> None:
        await deferLater(self._reactor, SOON)
        due, self._due = tuple(self._due), {}
        for mapping in due[:NAMED]:
            await self._warn(mapping)
        if not self.running:  # cancelling a request need not surface as such
            return
        self._warn_in_short([each for each in due[NAMED:] if each in self._needed])
        await deferLater(self._reactor, PAUSE)

    async def _warn(self, mapping: Mapping) -> None:
        needed = self._needed.get(mapping)
        if needed is None:
            return
        reasons = [await self._explained(each) for each in needed.route.selections]
        # Meanwhile it has one, or is not served; or all ends.
        if mapping not in self._needed or not self.running:
            return
        why = "; ".join(dict.fromkeys(reasons))
        self._told[mapping] = self._why(needed.route), why
        when = "since the reload" if needed.is_late else "yet"
        tell = self._log.info if mapping.allow_empty else self._log.warn
        tell(
            "{mapping}: no usable instance {when}: {why} - {consequence}",
            mapping=str(mapping),
            when=when,
            why=why,
            consequence=self._consequence(mapping),
        )
        self._tell_event(needed, EventKind.EMPTY, f"{when}: {why}")

    def _tell_event(self, needed: _Needed, kind: EventKind, reason: str = "") -> None:
        question = needed.route.selections[0].question
        mapping = str(needed.mapping)
        event = MappingEvent(kind=kind, query=question, mapping=mapping, reason=reason)
        self._note(event)

    def _warn_in_short(self, mappings: list[Mapping]) -> None:
        for each in mappings:
            why = self._why(self._needed[each].route)
            self._told[each] = why, why
        if mappings:
            self._log.warn(
                "{count} more mappings have no usable instance, among them {some}:"
                " /status says why",
                count=len(mappings),
                some=", ".join(map(str, mappings[:3])),
            )

    async def _explained(self, selection: PoolSpec) -> str:
        """Why a selection has no usable instance, with a hint where there is one."""
        question = selection.question
        if not self._registry.answered(question):
            if NO_DATACENTER in self._answers.error(question):
                return await self._hints.about_datacenter(question)
            return "Consul does not answer"
        unknown = not self._registry.known(question)
        if unknown and not self._answers.skipped(question):
            return await self._hints.about_service(question)
        return self._why_selection(selection)

    def _consequence(self, mapping: Mapping) -> str:
        """What becomes of clients, and of the gateway."""
        empty = mapping.when_empty
        if empty.fallback:
            clients = f"{empty.fallback} serves its clients"
        elif empty.wait:
            clients = f"its clients wait for {empty.wait:g} s and are closed"
        else:
            clients = "its clients are closed at once"
        if self.was_complete or mapping not in self._blocking:
            return clients
        return f"{clients}, and /readyz is 503 unless allow-empty=on"
