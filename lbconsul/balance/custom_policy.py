"""Policies of an operator's own: what they have to do, and a guard round each.

No policy can harm a connection: one that raises an exception, or chooses what it may
not, is replaced by least connections.
"""

from collections.abc import Callable
from typing import Protocol

from attrs import Factory, define, field

from lbconsul.balance.fault import Fault, FaultKind, Report, in_words
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.policy import LeastConnections
from lbconsul.balance.standing import Standing, Verdict
from lbconsul.balance.upstream import Load, Upstream
from lbconsul.balance.upstream_view import UpstreamView
from lbconsul.balance.weighted import Chance


class Policy(Protocol):
    """Chooses among the upstreams of a pool: what ``policy=MODULE:NAME`` names.

    A policy is made with one argument, a function that returns a random number from 0
    up to but without 1.  A pool has three, for upstreams that serve, that are suspect
    and that are ejected; each worker process has its own.

    All methods are called by the reactor for nearly every connection, and may not wait.
    """

    def place(self, upstream: UpstreamView) -> None:
        """`upstream` may be chosen from now on, or its load or weight has changed.

        It is called with each connection that begins or ends, and may be called without
        any change.
        """

    def withdraw(self, upstream: UpstreamView) -> None:
        """`upstream`, which is placed, may not be chosen until it is placed again.

        That can be soon: one that does not accept is withdrawn for the next attempt of
        the same connection only.
        """

    def choose(self) -> UpstreamView | None:
        """One of the placed upstreams, for the next connection; None if there is none.

        `place` follows if the connection counts.
        """


class KeyedPolicy(Policy, Protocol):
    """A policy that considers what `hash-by` says of a connection or request."""

    def choose_for(self, key: str) -> UpstreamView | None:
        """As `choose`, for a connection or request with this key: a text from outside.

        `choose` is for those that have none.
        """


#: What `policy=` names: it makes a policy.
PolicyFactory = Callable[[Chance], Policy]

#: The methods of a policy.
METHODS = ("place", "withdraw", "choose")

_REPLACED = "; leastconn replaces it in this pool until the next start"

#: How long a policy or a hook may take, in seconds: all clients wait meanwhile.
SLOW = 0.005


@define(eq=False)
class GuardedPolicy:
    """A policy of the operator's own, as the scheduler uses it."""

    _name: str
    _factory: PolicyFactory
    _chance: Chance
    _seconds: Callable[[], float]
    _report: Report
    _placed: set[Upstream] = Factory(set)
    #: None once it has failed; then least connections replaces it.
    _own: Policy | None = field(init=False, default=None)
    _instead: LeastConnections = field(
        init=False, default=Factory(lambda self: LeastConnections(self._chance), True)
    )

    def __attrs_post_init__(self) -> None:
        try:
            self._own = self._factory(self._chance)
        except (Exception, SystemExit) as error:
            self._replace("the constructor", f"raised {in_words(error)}")

    def place(self, upstream: Upstream) -> None:
        self._placed.add(upstream)
        if self._own is None:
            self._instead.place(upstream)
        else:
            self._call("place", upstream)

    def withdraw(self, upstream: Upstream) -> None:
        self._placed.discard(upstream)
        if self._own is None:
            self._instead.withdraw(upstream)
        else:
            self._call("withdraw", upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._placed

    def choose(self) -> Upstream | None:
        if self._own is not None:
            return self._checked("choose", self._call("choose"))
        return self._instead.choose()

    def _checked(self, method: str, chosen: object) -> Upstream | None:
        """What a method has chosen, or another one if it may not be chosen."""
        if isinstance(chosen, Upstream) and chosen in self._placed:
            return chosen
        if chosen is None and not self._placed:
            return None
        if self._own is not None:
            self._replace(method, _wrong_choice(chosen, self._placed))
        return self._instead.choose()

    def choose_for(self, key: HashKey) -> Upstream | None:
        if self._own is None or not hasattr(self._own, "choose_for"):
            return self.choose()
        return self._checked(
            "choose_for", self._call("choose_for", key.text.decode("latin-1"))
        )

    @property
    def lacks(self) -> list[str]:
        """The methods that the operator's own has not."""
        return [each for each in METHODS if not callable(getattr(self._own, each, 0))]

    def _call(self, method: str, *arguments: Upstream | str) -> object:
        """What a method of the operator's own returns; None if it fails."""
        began = self._seconds()
        try:
            answer: object = getattr(self._own, method)(*arguments)
        except (Exception, SystemExit) as error:
            self._replace(method, f"raised {in_words(error)}")
            return None
        took = self._seconds() - began
        if took > SLOW:
            self._report(Fault.slow(self._name, method, took))
        return answer

    def _replace(self, method: str, what: str) -> None:
        """Balance by least connections from now on."""
        self._own = None
        for each in self._placed:
            self._instead.place(each)
        text = f"{what}{_REPLACED}"
        self._report(Fault(self._name, method, FaultKind.FAILED, text))


def _wrong_choice(chosen: object, placed: set[Upstream]) -> str:
    """Why a choice is wrong, in words."""
    if chosen is None:
        return f"returned None, though {len(placed)} upstreams are placed"
    if isinstance(chosen, Upstream):
        return f"returned {chosen.id}, which is not placed"
    return f"returned {type(chosen).__name__}, which is no upstream"


def try_out(factory: PolicyFactory, chance: Chance) -> str:
    """Make a policy, and use it with two upstreams.

    Returns what it does wrong; empty if nothing.
    """
    faults: list[Fault] = []
    policy = GuardedPolicy("", factory, chance, lambda: 0.0, faults.append)
    if not faults and policy.lacks:
        return (
            f"has no {', '.join(policy.lacks)}: a policy has place(upstream),"
            " withdraw(upstream) and choose()"
        )
    policy.choose()
    samples = [_sample(name) for name in ("a", "b")]
    for each in (*samples, *samples):
        policy.place(each)
    for each in samples:
        policy.choose()
        policy.withdraw(each)
    policy.choose()
    if not faults:
        return ""
    return f"{faults[0].method} {faults[0].text.removesuffix(_REPLACED)}"


def _sample(name: str) -> Upstream:
    instance = Instance(Identity("dc1", "node", name), "192.0.2.1", 80, "192.0.2.1")
    return Upstream(instance, Load(), Verdict(Standing.SERVING, 1, "passing"))
