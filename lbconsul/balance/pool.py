"""A pool: the upstreams of one selection, and which of them is next."""

from collections.abc import Callable, Collection

from attrs import Factory, define

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.outlier import Outliers, Ruling
from lbconsul.balance.policy import Policy
from lbconsul.balance.selection import Rules
from lbconsul.balance.standing import judge
from lbconsul.balance.upstream import Lease, Load, Outcome, Upstream, ignore


@define(eq=False)
class Pool:
    """The upstreams of one selection: which there are, and their standing."""

    _rules: Rules
    _policy: Policy
    _outliers: Outliers
    #: Told what became of an upstream, and why.
    _told: Callable[[Upstream, str], None] = lambda upstream, what: None
    _members: dict[Identity, Upstream] = Factory(dict)
    #: How many of them Consul lets serve.
    _candidates: int = 0

    def __len__(self) -> int:
        return len(self._members)

    def upstreams(self) -> Collection[Upstream]:
        """Every upstream, whatever its standing."""
        return self._members.values()

    def admit(self, instance: Instance, load: Load) -> None:
        """`instance` joined or was altered; `load` is its identity's."""
        verdict = judge(instance, self._rules)
        known = self._members.get(instance.identity)
        if verdict is None:
            if known is not None:
                self.dismiss(instance.identity)
            return
        if known is None:
            known = Upstream(instance, load, verdict)
            self._members[instance.identity] = known
            load.upstreams.append(known)
        else:
            self._withdraw(known)
        moved = _location(known.instance) != _location(instance)
        known.instance, known.verdict = instance, verdict
        if moved or not known.serving:
            # A new chance at another place; and no trial while Consul says no.
            self._outliers.trust(known)
        self._place(known)
        self._trust_surplus()

    def dismiss(self, identity: Identity) -> None:
        """The instance left, if it was selected at all; its leases live on."""
        upstream = self._members.pop(identity, None)
        if upstream is not None:
            upstream.load.upstreams.remove(upstream)
            self._withdraw(upstream)
            self._outliers.trust(upstream)
            self._trust_surplus()

    def lease(self, avoiding: Collection[Upstream] = ()) -> Lease | None:
        """The next connection, counted; to none of `avoiding`."""
        ejected = self._outliers.due(avoiding)
        if ejected is None:
            chosen = self._choose(avoiding)
            if chosen is not None:
                return Lease(chosen, self, on_trial=False)
            ejected = self._outliers.last_resort(avoiding)
            if ejected is None:
                return None
        return Lease(ejected, self, self._outliers.begin_trial(ejected))

    def _choose(self, avoiding: Collection[Upstream]) -> Upstream | None:
        if not avoiding:
            return self._policy.choose()
        aside = [each for each in dict.fromkeys(avoiding) if self._is_placed(each)]
        for each in aside:
            self._policy.withdraw(each)
        chosen = self._policy.choose()
        for each in aside:
            self._policy.place(each)
        return chosen

    def learn(self, upstream: Upstream, outcome: Outcome, on_trial: bool) -> None:
        """A connection to `upstream` showed this; maybe the one that tries it."""
        if not self._is_candidate(upstream):
            return
        ruling = self._outliers.learn(upstream, outcome, on_trial, self._candidates)
        if ruling is Ruling.EJECT:
            self._withdraw(upstream)
            why = self._outliers.eject(upstream)
            self._place(upstream)
            self._told(upstream, f"ejected: {why}")
        elif ruling is Ruling.TRUST:
            self._trust(upstream, "trusted again")

    def untried(self, upstream: Upstream) -> None:
        """A trial of `upstream` ended, and showed nothing."""
        self._outliers.untried(upstream)

    def _trust(self, upstream: Upstream, why: str) -> None:
        self._withdraw(upstream)
        self._outliers.trust(upstream)
        self._place(upstream)
        self._told(upstream, why)

    def _trust_surplus(self) -> None:
        for each in self._outliers.surplus(self._candidates):
            self._trust(each, "trusted again, since too many others left")

    def _place(self, upstream: Upstream) -> None:
        """Let it have what its standing allows."""
        if not upstream.serving:
            return
        self._candidates += 1
        if upstream not in self._outliers:
            upstream.loaded = self._policy.place
            upstream.loaded(upstream)

    def _withdraw(self, upstream: Upstream) -> None:
        """The opposite."""
        if not upstream.serving:
            return
        self._candidates -= 1
        if upstream not in self._outliers:
            upstream.loaded = ignore
            self._policy.withdraw(upstream)

    def _is_candidate(self, upstream: Upstream) -> bool:
        mine = self._members.get(upstream.instance.identity)
        return mine is upstream and upstream.serving

    def _is_placed(self, upstream: Upstream) -> bool:
        return self._is_candidate(upstream) and upstream not in self._outliers


def _location(instance: Instance) -> tuple[str, int]:
    return instance.address, instance.port
