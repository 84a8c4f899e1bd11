"""Registers the gateway in Consul, and keeps it registered while it serves."""

from collections.abc import Callable, Iterable
from collections.abc import Mapping as AbstractMapping
from typing import NoReturn

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.consul.agent_services import AgentServices
from lbconsul.consul.client import ConsulClient
from lbconsul.consul.keeper import Keeper, State
from lbconsul.consul.registration import Registration
from lbconsul.consul.registration_log import (
    BY_ITSELF,
    RegistrationLog,
    after,
    name_of,
)
from lbconsul.consul.registration_round import RegistrationRound
from lbconsul.errors import UnusableAnswer
from lbconsul.net.periodic import repeat

#: How often the registrar looks what is due, in seconds: so late Consul hears that the
#: gateway is ready, or no longer.
EVERY = 0.5

#: How long deregistering may delay a drain, in seconds.
LEAVE_WITHIN = 2.0

#: The most registrations of a predecessor that are taken out.
_MOST_INHERITED = 10_000


@define(eq=False, repr=False)
class Registrar(Service):
    """Keeps registrations with the agent at the first of Consul's addresses.

    The others would be other agents, and a registration is one agent's.  Serving never
    waits for it; a drain does, for `LEAVE_WITHIN` seconds at most.
    """

    _log = Logger()
    _clock: IReactorTime
    _agent: AgentServices
    _chance: Callable[[], float]
    #: Why the gateway is not ready; empty if it is.
    _why_not: Callable[[], str]
    #: Whether this gateway may register: no predecessor keeps the registrations.
    _may_begin: Callable[[], bool]
    #: Called with each registration that is new in Consul.
    _on_registered: Callable[[Registration], object] = lambda registration: None
    #: What tells this gateway, with its successors, from others in Consul.
    gateway: str = field(init=False)
    _keepers: dict[str, Keeper] = Factory(dict)
    #: The ids of registrations to take out.
    _gone: dict[str, None] = Factory(dict)
    _looking: LoopingCall | None = None
    #: Held while the agent is asked and told.
    _lock: DeferredLock = Factory(DeferredLock)
    _round: Deferred[None] = Factory(lambda: succeed(None))
    #: Whether it registers nothing any more.
    _has_left: bool = False
    _leaving: Deferred[None] = Factory(lambda: succeed(None))

    def __attrs_post_init__(self) -> None:
        self.gateway = f"{int(self._chance() * 2**52):013x}"

    def inherit(self, state: object) -> None:
        """Keep the registrations of a predecessor; `state` is what its `state` gave."""
        match state:
            case {"gateway": str(gateway), "ids": list(ids)} if gateway:
                self.gateway = gateway
                known = [each for each in ids if isinstance(each, str)]
                known = [each for each in known if each not in self._keepers]
                self._gone = dict.fromkeys(known[:_MOST_INHERITED])

    def state(self) -> AbstractMapping[str, object]:
        """What a successor needs, as JSON can hold it."""
        ids = [each.wanted.id for each in self._keepers.values() if each.is_ours]
        return {"gateway": self.gateway, "ids": ids}

    def replace(self, wanted: Iterable[Registration]) -> None:
        """Keep these from now on, each id once, and take out all others."""
        before, self._keepers = self._keepers, {}
        for each in wanted:
            if each.id not in self._keepers:
                keeper = before.pop(each.id, None) or Keeper(each)
                keeper.want(each)
                self._keepers[each.id] = keeper
                self._gone.pop(each.id, None)
        self._gone |= {key: None for key, each in before.items() if each.is_ours}
        self._look_on()

    def use_client(self, client: ConsulClient) -> None:
        """Ask and tell by this client from now on.

        With another agent, the registrations move there.
        """
        before, self._agent = self._agent, AgentServices(client)
        if self._agent.where != before.where:
            old = self.keepers()
            self._keepers = {each.wanted.id: Keeper(each.wanted) for each in old}
            moving = self._lock.run(self._move, before, old)
            moving.addErrback(self._bug)

    def keepers(self) -> tuple[Keeper, ...]:
        """The registrations, and how each goes."""
        return tuple(self._keepers.values())

    def startService(self) -> None:
        super().startService()
        self._look_on()

    def stopService(self) -> None:
        super().stopService()
        self._stop_looking()
        self._round.cancel()

    def hand_over(self) -> None:
        """A successor keeps the registrations from now on."""
        self._end("the gateway that took over keeps it")

    def leave(self) -> Deferred[None]:
        """Deregister; fires when that is done, has failed, or takes too long."""
        if not self._has_left:
            is_needed = self._lock.locked or any(map(_is_ours, self.keepers()))
            self._stop_looking()
            self._has_left = True
            if is_needed:
                self._leaving = self._lock.run(self._deregister)
                self._leaving.addTimeout(LEAVE_WITHIN, self._clock, _too_late)
                self._leaving.addErrback(self._not_left)
            self._leaving.addCallback(
                lambda _: self._end("deregistered, since the gateway drains")
            )
        done: Deferred[None] = Deferred()
        self._leaving.addCallback(lambda _: done.callback(None))
        return done

    def _end(self, why: str) -> None:
        self._has_left = True
        self._stop_looking()
        for each in self._keepers.values():
            each.left(self._clock.seconds(), why)

    def _look_on(self) -> None:
        """Look periodically, if there is anything to keep or to take out."""
        needed = self.running and not self._has_left and (self._keepers or self._gone)
        if needed and self._looking is None:
            self._looking = repeat(self._clock, EVERY, self._look)

    def _stop_looking(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.stop()

    def _look(self) -> None:
        """Periodic: begin what is due, unless the last round goes on."""
        if self._lock.locked or not self._may_begin():
            return
        now, why_not = self._clock.seconds(), self._why_not()
        keepers = self._keepers.values()
        due = [each for each in keepers if each.is_due(now, is_ready=not why_not)]
        if due or self._gone:
            self._round = self._lock.run(self._keep, due, why_not)
            self._round.addErrback(self._bug)

    def _bug(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("a bug in lbconsul", failure)

    async def _move(self, before: AgentServices, old: Iterable[Keeper]) -> None:
        """Take out what an agent has that is not asked any more."""
        round = self._new_round(before)
        for each in filter(_is_ours, old):
            await round.leave(each)
        round.log.write()

    def _new_round(self, agent: AgentServices | None = None) -> RegistrationRound:
        return RegistrationRound(
            agent or self._agent, self.gateway, self._clock.seconds, self._chance
        )

    async def _keep(self, due: Iterable[Keeper], why_not: str) -> None:
        """One round: keep what is due, and take out what is gone."""
        round = self._new_round()
        for each in due:
            if self._has_left:
                break
            try:
                await round.keep(each, why_not)
            except UnusableAnswer as error:
                round.failed(each, error)
            except Exception as error:
                if self.running and not self._has_left:  # else it is cancelled
                    self._unreached(round, error)
                break
            if each.wanted.id not in self._keepers and each.is_ours:  # by a reload
                self._gone[each.wanted.id] = None
        while self._gone and not self._has_left and self.running:
            gone, _ = self._gone.popitem()
            await round.take_out(gone, gone, BY_ITSELF)
        round.log.write()
        for new in round.new:
            self._on_registered(new)

    def _unreached(self, round: RegistrationRound, error: Exception) -> None:
        """The agent has no answer for one, and so none for the others."""
        now = self._clock.seconds()
        for each in self.keepers():
            if each.state is not State.UNCONFIRMED or each.is_due(now, is_ready=True):
                round.failed(each, error)

    async def _deregister(self) -> None:
        round, until = self._new_round(), self._clock.seconds() + LEAVE_WITHIN
        for each in filter(_is_ours, self.keepers()):
            if self._clock.seconds() < until:
                await round.leave(each)
        round.log.write()
        self._tell_not_left()

    def _not_left(self, failure: Failure) -> None:
        """Deregistering was given up: the drain goes on."""
        if not failure.check(TimeoutError):
            self._log.failure("a bug in lbconsul", failure)
        self._tell_not_left()

    def _tell_not_left(self) -> None:
        log = RegistrationLog(self._agent.where)
        for each in filter(_is_ours, self.keepers()):
            log.on_not_left(name_of(each), None, after(each))
        log.write()


def _too_late(result: object, seconds: float) -> NoReturn:
    raise TimeoutError


def _is_ours(keeper: Keeper) -> bool:
    return keeper.is_ours
