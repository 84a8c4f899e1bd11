"""Logs what becomes of registrations: those of one round and kind in one line."""

from attrs import Factory, define
from twisted.logger import Logger, LogLevel

from lbconsul.consul.describe import in_words
from lbconsul.consul.keeper import Keeper, News
from lbconsul.consul.query_loop import FORESEEN
from lbconsul.consul.registration import Found, Registration
from lbconsul.errors import Forbidden
from lbconsul.text import decimal, fit, listed

#: The longest name of a registration in a line.
_NAME = 160

_SAID = {
    News.REGISTERED: "registered in Consul at {where}, {state}",
    News.ALTERED: "registered in Consul as the reload wants it",
    News.RESTORED: "registered in Consul again: the agent had lost or changed it",
    News.RECOVERED: "the agent at {where} takes reports again",
    News.PASSING: "passing in Consul: the gateway is ready",
    News.CRITICAL: "critical in Consul: {why}",
}

_LEFT = "deregistered from Consul"


@define(eq=False)
class RegistrationLog:
    """The lines of one round."""

    _log = Logger()
    #: The agent's address.
    _where: str
    _lines: dict[tuple[LogLevel, str], list[str]] = Factory(dict)

    def on_kept(self, keeper: Keeper, news: News | None) -> None:
        """It is registered, and reported."""
        if news is not None:
            state, why = keeper.state.value, keeper.reason or "ready"
            text = _SAID[news].format(where=self._where, state=state, why=why)
            self._add(LogLevel.info, text, keeper)

    def on_failed(self, keeper: Keeper, error: Exception) -> None:
        """The agent was not asked or told."""
        if not isinstance(error, FORESEEN):
            self._log.failure("registration: a bug in lbconsul")
        what = "not reported to" if keeper.has_registered else "not registered in"
        text = f"{what} Consul at {self._where}: {why(error, keeper.wanted.name)}"
        if keeper.has_registered:
            ttl = decimal(keeper.wanted.ttl)
            text += f"; without a report for {ttl}s it is critical"
        self._add(LogLevel.warn, f"{text}; trying again", keeper)

    def on_taken(self, keeper: Keeper) -> None:
        """It belongs to another."""
        text = f"not registered in Consul at {self._where}: {keeper.reason}"
        self._add(LogLevel.error, text, keeper)

    def on_left(self, name: str) -> None:
        """It is deregistered."""
        self._lines.setdefault((LogLevel.info, _LEFT), []).append(name)

    def on_not_left(self, name: str, error: Exception | None, after: str) -> None:
        """It could not be deregistered; `error` is None if the agent takes too long."""
        reason = "it takes too long" if error is None else in_words(error)
        text = f"not deregistered from Consul at {self._where}: {reason}; {after}"
        self._lines.setdefault((LogLevel.warn, text), []).append(name)

    def write(self) -> None:
        """Write the lines."""
        for (level, text), names in self._lines.items():
            self._log.emit(
                level, "{names}: {text}", names=listed(names, _NAME), text=text
            )
        self._lines.clear()

    def _add(self, level: LogLevel, text: str, keeper: Keeper) -> None:
        self._lines.setdefault((level, text), []).append(name_of(keeper))


def name_of(keeper: Keeper) -> str:
    """A registration in the log: its service, and where clients are sent."""
    return f"{keeper.wanted.name} at {keeper.wanted.place}"


def why(error: Exception, service: str) -> str:
    """An error in words, with the right that the token may lack."""
    text = in_words(error)
    if isinstance(error, Forbidden):
        text += f"; the token needs service:write for {service}"
    return text


#: What becomes of a registration that could not be taken out.
BY_ITSELF = "Consul takes it for critical soon, and removes it later"


def after(keeper: Keeper) -> str:
    """What becomes of a registration that could not be taken out."""
    wanted = keeper.wanted
    return (
        f"Consul takes it for critical within {decimal(wanted.ttl)}s, and removes it"
        f" after {decimal(wanted.remove_after)}s more"
    )


def whose(found: Found, wanted: Registration) -> str:
    """Whose a registration is that is not this gateway's, and what would be right."""
    if found.gateway:
        return (
            f"another gateway has registered itself as {wanted.id}: two with one Consul"
            " agent need different ports, or register-address= for each"
        )
    return (
        f"the agent has a service {fit(found.name)} with the id {wanted.id}, which no"
        " gateway has registered: choose another name for register="
    )
