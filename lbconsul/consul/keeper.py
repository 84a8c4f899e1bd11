"""One registration in Consul: what is due when, and what is known of it.  Pure."""

from enum import Enum, auto

from attrs import Factory, define

from lbconsul.consul.registration import Found, Registration

#: Reports within one TTL: one may be lost, and the next one late.
_REPORTS = 3

#: The longest pause after the first failure, in seconds; it doubles with each, up to
#: the time between two reports.
_FIRST_PAUSE = 0.5


class State(Enum):
    """What is known of a registration."""

    #: It has not been registered yet.
    WAITING = "waiting"
    #: It is registered, and healthy: the gateway is ready.
    PASSING = "passing"
    #: It is registered, and critical: the gateway is not ready.
    CRITICAL = "critical"
    #: It was registered, but the agent does not take reports now.
    UNCONFIRMED = "unconfirmed"
    #: The agent has another gateway's or program's registration under this id.
    TAKEN = "taken"
    #: The gateway drains: it is deregistered, or a successor keeps it.
    LEFT = "left"


class Step(Enum):
    """What to do about a registration, by what the agent has."""

    REGISTER = auto()
    REPORT = auto()
    #: Leave it to the gateway or program to which it belongs.
    YIELD = auto()


class News(Enum):
    """What is worth a line of log."""

    REGISTERED = auto()
    #: The agent has it as a reload wants it.
    ALTERED = auto()
    #: The agent had lost or changed it.
    RESTORED = auto()
    #: Reports are taken again.
    RECOVERED = auto()
    #: It has turned passing, or critical.
    PASSING = auto()
    CRITICAL = auto()


@define(eq=False)
class Keeper:
    """Keeps one registration.

    `now` is in seconds by any clock, `chance` a number from 0 up to but without 1.
    """

    wanted: Registration
    state: State = State.WAITING
    #: Why it is not passing, for people to read; empty if it is.
    reason: str = ""
    #: Since when that is its state.
    since: float = 0.0
    #: Whether this gateway has registered it.
    has_registered: bool = False
    _due: float = 0.0
    _failures: int = 0
    #: The kinds of failure since the last success.
    _kinds: set[object] = Factory(set)
    #: What was last reported: whether the gateway is ready; None before the first time.
    _is_ready: bool | None = None
    #: What a registration since the last report is: news, if there was one before.
    _registered: News | None = None
    _is_altered: bool = False

    def is_due(self, now: float, *, is_ready: bool) -> bool:
        """Whether the agent is to be asked and told now."""
        turned = self.is_ours and not self._failures and is_ready != self._is_ready
        return now >= self._due or turned

    def want(self, wanted: Registration) -> None:
        """Keep it so from now on; the id is the same."""
        if wanted != self.wanted:
            self.wanted, self._due, self._is_altered = wanted, 0.0, True

    def judge(self, found: Found | None, gateway: str) -> Step:
        """What this gateway does next, as the agent has it so.

        A gateway that starts takes a registration over from any other one, which may
        have crashed; the other yields, so that the two do not take it from each other
        again and again.
        """
        if found is None:
            return Step.REGISTER
        if not found.gateway or found.name != self.wanted.name:
            return Step.YIELD
        if found.gateway != gateway and self.has_registered:
            return Step.YIELD
        is_kept = self.has_registered and self.wanted.is_like(found, gateway)
        return Step.REPORT if is_kept else Step.REGISTER

    def registered(self) -> None:
        """The agent has it as it is wanted; whether that is healthy is to be told."""
        self.has_registered = True
        self._registered = News.ALTERED if self._is_altered else News.RESTORED
        self._is_altered = False

    def kept(self, now: float, chance: float, why_not: str) -> News | None:
        """The agent has it, and knows why the gateway is not ready; empty if it is."""
        news = self._news(not why_not)
        self._is_ready, self._registered, self._failures = not why_not, None, 0
        self._kinds.clear()
        self._turn(State.CRITICAL if why_not else State.PASSING, why_not, now)
        self._due = now + self._pause * (0.9 + 0.2 * chance)
        return news

    def _news(self, is_ready: bool) -> News | None:
        if self._is_ready is None:
            return News.REGISTERED
        if self._registered is not None:
            return self._registered
        if self._failures:
            return News.RECOVERED
        if is_ready != self._is_ready:
            return News.PASSING if is_ready else News.CRITICAL
        return None

    def failed(self, now: float, chance: float, kind: object, why: str) -> bool:
        """The agent could not be asked or told; returns whether that is news.

        It is, for the first failure of each kind since the last success.
        """
        is_new = kind not in self._kinds
        self._kinds.add(kind)
        self._turn(
            State.UNCONFIRMED if self.has_registered else State.WAITING, why, now
        )
        pause = min(self._pause, _FIRST_PAUSE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._due = now + pause * (0.5 + 0.5 * chance)
        return is_new

    def yielded(self, now: float, chance: float, why: str) -> bool:
        """The id belongs to another; returns whether that is news."""
        is_new = self.state is not State.TAKEN
        self._turn(State.TAKEN, why, now)
        self._failures = 0
        self._due = now + self._pause * (0.9 + 0.2 * chance)
        return is_new

    def left(self, now: float, why: str) -> None:
        """It is no longer this gateway's."""
        self._turn(State.LEFT, why, now)

    @property
    def is_ours(self) -> bool:
        """Whether the agent has it from this gateway, as far as is known."""
        return self.has_registered and self.state not in (State.TAKEN, State.LEFT)

    @property
    def _pause(self) -> float:
        """The time between two reports, in seconds."""
        return self.wanted.ttl / _REPORTS

    def _turn(self, state: State, reason: str, now: float) -> None:
        if state is not self.state:
            self.since = now
        self.state, self.reason = state, reason
