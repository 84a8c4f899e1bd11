"""One round of questions and reports to the agent about several registrations."""

from collections.abc import Callable

from attrs import Factory, define

from lbconsul.consul.agent_services import AgentServices
from lbconsul.consul.keeper import Keeper, News, Step
from lbconsul.consul.query_loop import FORESEEN
from lbconsul.consul.registration import Registration
from lbconsul.consul.registration_log import RegistrationLog, after, name_of, whose, why
from lbconsul.errors import Forbidden, UnusableAnswer


@define(eq=False)
class RegistrationRound:
    """Keeps and takes out registrations of this gateway, one after the other."""

    _agent: AgentServices
    #: What tells this gateway from others in Consul.
    _gateway: str
    _seconds: Callable[[], float]
    _chance: Callable[[], float]
    log: RegistrationLog = Factory(
        lambda self: RegistrationLog(self._agent.where), takes_self=True
    )
    #: The registrations that are new in Consul.
    new: list[Registration] = Factory(list)

    async def keep(self, keeper: Keeper, why_not: str) -> None:
        """Register what the agent lacks, and report why the gateway is not ready.

        `why_not` is empty if it is.

        :raises UnusableAnswer: the agent refuses one of these.
        """
        wanted, agent = keeper.wanted, self._agent
        found = await agent.look(wanted.id)
        step = keeper.judge(found, self._gateway)
        if step is Step.YIELD:
            assert found is not None
            if keeper.yielded(self._seconds(), self._chance(), whose(found, wanted)):
                self.log.on_taken(keeper)
            return
        if step is Step.REGISTER:
            await self._register(keeper, why_not)
        try:
            await agent.report(wanted, why_not)
        except UnusableAnswer as error:
            if step is Step.REGISTER or isinstance(error, Forbidden):
                raise
            # The service is there, its check is not: 500, in newer versions 404.
            await self._register(keeper, why_not)
            await agent.report(wanted, why_not)
        news = keeper.kept(self._seconds(), self._chance(), why_not)
        if news is News.REGISTERED:
            self.new.append(wanted)
        self.log.on_kept(keeper, news)

    async def _register(self, keeper: Keeper, why_not: str) -> None:
        wanted = keeper.wanted
        await self._agent.register(wanted, self._gateway, is_ready=not why_not)
        keeper.registered()

    def failed(self, keeper: Keeper, error: Exception) -> None:
        """The agent refuses something, or has no answer."""
        text = why(error, keeper.wanted.name)
        if keeper.failed(self._seconds(), self._chance(), type(error), text):
            self.log.on_failed(keeper, error)

    async def leave(self, keeper: Keeper) -> None:
        """Take out what this gateway keeps."""
        await self.take_out(keeper.wanted.id, name_of(keeper), after(keeper))
        keeper.left(self._seconds(), "")

    async def take_out(self, service_id: str, name: str, otherwise: str) -> None:
        """Deregister a service, unless it belongs to another gateway by now.

        `otherwise` says what becomes of it if that fails.
        """
        try:
            found = await self._agent.look(service_id)
            if found is not None and found.gateway == self._gateway:
                await self._agent.deregister(service_id)
                self.log.on_left(name)
        except FORESEEN as error:
            self.log.on_not_left(name, error, otherwise)
