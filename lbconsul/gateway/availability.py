"""Availability: which mappings have had a usable instance, and why others have none.

A misspelt service looks like a service that is scaled to zero: Consul's answer is an
empty list.  So a mapping that never had an instance causes a warning, and the gateway
is not ready; a mapping that has lost its instances does neither.
"""

import re
from collections.abc import Collection, Iterable
from typing import Protocol

from attrs import Factory, define, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
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
from lbconsul.gateway.interfaces import EventObserver
from lbconsul.proxy.targets import failover_spec
from lbconsul.steps import Steps

#: The delay from the first empty mapping to the warning, in seconds: mappings found
#: empty within it are reported together.
SOON = 0.2

#: The most mappings named at a time, and the pause before the next ones, in seconds.
NAMED, PAUSE = 20, 5.0

#: An HTTP error of Consul is reported with its status first.
_REFUSED = re.compile(r"\d{3}: ")

#: The queries and filters of a mapping: unchanged by a reload of its other options.
_Needs = tuple[tuple[ServiceQuery, InstanceFilter], ...]


class Answers(Protocol):
    """Consul's latest answers, as the watches know them."""

    def skipped(self, query: ServiceQuery) -> Collection[str]:
        """The skipped registrations of the last answer, each with its reason."""

    def error(self, query: ServiceQuery) -> str:
        """The present error of this query; empty if it does not fail."""

    @property
    def page(self) -> Page:
        """Requests a page of Consul's API."""


@frozen(eq=False)
class _Needed:
    """A mapping that never had an instance."""

    mapping: Mapping
    spec: FailoverSpec
    #: Whether a reload added it.
    is_late: bool

    @property
    def needs(self) -> _Needs:
        return tuple((each.query, each.rules) for each in self.spec.selections)


def is_answered(registry: Registry, mapping: Mapping, *, wholly: bool) -> bool:
    """Whether Consul has answered enough to serve a mapping.

    With `wholly`, whether it has answered all queries, fallbacks included.
    """
    spec = failover_spec(mapping)
    if wholly or not spec.selections:
        return all(registry.answered(each.query) for each in spec.all())
    return any(registry.answered(each.query) for each in spec.selections)


@define(eq=False)
class Availability(Service):
    """Warns once of each mapping that never had a usable instance."""

    _log = Logger()
    _clock: IReactorTime
    _registry: Registry
    _answers: Answers
    _observer: EventObserver
    _hints: Hints = Factory(
        lambda self: Hints(self._clock, self._answers.page), takes_self=True
    )
    #: Whether every mapping has had an instance.  From then on the gateway stays ready,
    #: whatever becomes empty or is added by a reload.
    was_complete: bool = False
    #: The mappings that never had an instance.
    _needed: dict[Mapping, _Needed] = Factory(dict)
    _by_query: dict[ServiceQuery, dict[Mapping, None]] = Factory(dict)
    #: The mappings among them that keep the gateway from being ready.
    _blocking: dict[Mapping, None] = Factory(dict)
    #: The needs of served mappings that have had an instance.
    _had: set[_Needs] = Factory(set)
    #: Mappings whose warning is due; and by reported mapping: the reason at the time of
    #: the warning, and the reason with a hint.
    _due: dict[Mapping, None] = Factory(dict)
    _told: dict[Mapping, tuple[str, str]] = Factory(dict)
    _telling: Deferred[None] | None = None

    def add(self, mapping: Mapping, *, is_late: bool = False) -> None:
        """Add a served mapping; `is_late` if a reload added it."""
        needed = _Needed(mapping, failover_spec(mapping), is_late)
        if not needed.needs or needed.needs in self._had:
            return
        self._needed[mapping] = needed
        self._blocking[mapping] = None
        for each in needed.spec.selections:
            self._by_query.setdefault(each.query, {})[mapping] = None
        self._look(needed)

    def replacing(self, mappings: Iterable[Mapping]) -> Steps[None]:
        """Replace the served mappings, one per step."""
        served, needs = dict[Mapping, FailoverSpec](), set[_Needs]()
        for mapping in mappings:
            spec = served[mapping] = failover_spec(mapping)
            needs.add(_Needed(mapping, spec, False).needs)
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

    def look(self, query: ServiceQuery) -> None:
        """Check the mappings of a query that Consul answered, or failed to answer."""
        for mapping in tuple(self._by_query.get(query, ())):
            self._look(self._needed[mapping])

    def blocks(self, mapping: Mapping) -> str:
        """Why this mapping keeps the gateway from being ready; empty if it does not."""
        if self.was_complete or mapping not in self._blocking:
            return ""
        why = self.why(mapping)
        if why:
            return f"no usable instance yet: {why}"
        errors = (
            self._answers.error(each.query)
            for each in self._needed[mapping].spec.selections
        )
        refused = next((each for each in errors if _REFUSED.match(each)), "")
        return "no answer from Consul yet" + (f": {refused}" if refused else "")

    def why(self, mapping: Mapping) -> str:
        """Why a mapping has no usable instance now.

        Empty if it has a usable instance, or if that is not known yet.
        """
        spec = failover_spec(mapping)
        if any(self._registry.pool(each).candidates for each in spec.selections):
            return ""
        why = self._why(spec)
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
        pools = [self._registry.pool(each) for each in needed.spec.selections]
        if any(map(self._has_instance, pools)):
            self._found(needed)
        elif self._why(needed.spec) and mapping not in self._told:
            if mapping.allow_empty:
                self._blocking.pop(mapping, None)
            self._due[mapping] = None
            self._tell_soon()
        self._settle()

    def _has_instance(self, pool: Pool) -> bool:
        """Whether an instance is usable, or would be without an operator's drain."""
        if pool.candidates:
            return True
        drained = self._registry.drained
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
        for each in needed.spec.selections:
            others = self._by_query[each.query]
            others.pop(mapping, None)
            if not others:
                del self._by_query[each.query]
        for known in (self._blocking, self._due, self._told):
            known.pop(mapping, None)

    def _settle(self) -> None:
        if not self._blocking:
            self.was_complete = True

    def _why(self, spec: FailoverSpec) -> str:
        """Why no pool of `spec` has a usable instance; empty if not known yet."""
        reasons = [self._why_selection(each) for each in spec.selections]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    def _why_selection(self, selection: PoolSpec) -> str:
        query, registry = selection.query, self._registry
        if registry.answered(query):
            skipped = self._answers.skipped(query)
            drained = registry.drained.keys()
            instances = registry.known(query)
            failing = registry.pool(selection).refused_by_checks
            why = why_empty(instances, selection.rules, drained, skipped, failing)
            return why or f"Consul shows no instance of {query}"
        error = self._answers.error(query)
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
        await deferLater(self._clock, SOON)
        due, self._due = tuple(self._due), {}
        for mapping in due[:NAMED]:
            await self._warn(mapping)
        if not self.running:  # cancelling a request need not raise here
            return
        self._warn_in_short([each for each in due[NAMED:] if each in self._needed])
        await deferLater(self._clock, PAUSE)

    async def _warn(self, mapping: Mapping) -> None:
        needed = self._needed.get(mapping)
        if needed is None:
            return
        reasons = [await self._explained(each) for each in needed.spec.selections]
        # Meanwhile it has an instance or was removed, or the service stops.
        if mapping not in self._needed or not self.running:
            return
        why = "; ".join(dict.fromkeys(reasons))
        self._told[mapping] = self._why(needed.spec), why
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
        query = needed.spec.selections[0].query
        mapping = str(needed.mapping)
        event = MappingEvent(kind=kind, query=query, mapping=mapping, reason=reason)
        self._observer.on_event(event)

    def _warn_in_short(self, mappings: list[Mapping]) -> None:
        for each in mappings:
            why = self._why(self._needed[each].spec)
            self._told[each] = why, why
        if mappings:
            self._log.warn(
                "{count} more mappings have no usable instance, among them {some}:"
                " /status says why",
                count=len(mappings),
                some=", ".join(map(str, mappings[:3])),
            )

    async def _explained(self, selection: PoolSpec) -> str:
        """Why a pool has no usable instance, with a hint from Consul if it has one."""
        query = selection.query
        if not self._registry.answered(query):
            if NO_DATACENTER in self._answers.error(query):
                return await self._hints.about_datacenter(query)
            return "Consul does not answer"
        unknown = not self._registry.known(query)
        if unknown and not self._answers.skipped(query):
            return await self._hints.about_service(query)
        return self._why_selection(selection)

    def _consequence(self, mapping: Mapping) -> str:
        """The effect on clients, and on readiness."""
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
