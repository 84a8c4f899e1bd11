"""A pool: the upstreams of one selection, and which of them is next."""

from collections.abc import Collection

from attrs import Factory, define

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.policy import Policy
from lbconsul.balance.selection import Rules
from lbconsul.balance.standing import judge
from lbconsul.balance.upstream import Load, Upstream, ignore


@define(eq=False)
class Pool:
    """The upstreams of one selection: which there are, and their standing."""

    _rules: Rules
    _policy: Policy
    _members: dict[Identity, Upstream] = Factory(dict)

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
        elif known.serving:
            self._policy.withdraw(known)
        known.instance, known.verdict = instance, verdict
        if known.serving:
            known.loaded = self._policy.place
            known.loaded(known)
        else:
            known.loaded = ignore

    def dismiss(self, identity: Identity) -> None:
        """The instance left, if it was selected at all; its leases live on."""
        upstream = self._members.pop(identity, None)
        if upstream is not None:
            upstream.load.upstreams.remove(upstream)
            if upstream.serving:
                self._policy.withdraw(upstream)

    def choose(self, avoiding: Collection[Upstream] = ()) -> Upstream | None:
        """The upstream for the next connection, none of `avoiding`."""
        if not avoiding:
            return self._policy.choose()
        aside = [each for each in dict.fromkeys(avoiding) if self._is_placed(each)]
        for each in aside:
            self._policy.withdraw(each)
        chosen = self._policy.choose()
        for each in aside:
            self._policy.place(each)
        return chosen

    def _is_placed(self, upstream: Upstream) -> bool:
        mine = self._members.get(upstream.instance.identity)
        return mine is upstream and upstream.serving
