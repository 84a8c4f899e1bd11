"""Ejects upstreams that are much slower than their peers, for `eject-latency`."""

from math import inf

from attrs import Factory, define

from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Identity
from lbconsul.balance.pool import Pool
from lbconsul.config.latency import SlowRule
from lbconsul.proxy.slow_upstreams import slow_ones
from lbconsul.stats.http import FIRST_BYTE
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.upstream import CONNECT, RECENT, halves
from lbconsul.steps import Steps

#: How often upstreams are compared, in seconds.
LOOK_EVERY = 2.0

#: What is compared is one to two times as long, in seconds.
WINDOW = 30.0

#: Within this time after an ejection another one is a consecutive one, in seconds.
_MEMORY = 600.0

#: How many times were counted so far, and the latest by their length.
_Counted = tuple[int, list[int]]


@define(eq=False)
class LatencyWatch:
    """Compares the upstreams of one mapping or route by what this process sees.

    Of HTTP requests it is the time to the first byte of the answer that counts, of
    connections that of the connect.  The statistics have them in any case.
    """

    _rule: SlowRule
    _failover: Failover
    _stats: MappingStats
    _is_http: bool
    #: When the next look is due, and when the window began.
    _due: float = -inf
    _begun: float = -inf
    #: What was counted when the last window began, and when this one did.
    _before: dict[Identity, _Counted] = Factory(dict)
    _since: dict[Identity, _Counted] = Factory(dict)
    #: How often an upstream was ejected in a row, and when it was last.
    _ejected: dict[Identity, tuple[int, float]] = Factory(dict)

    def is_due(self, now: float) -> bool:
        """Whether it is time to look."""
        return now >= self._due

    def looking(self, now: float) -> Steps[None]:
        """Compare, in steps, and eject what is slow."""
        self._due = now + LOOK_EVERY
        if now - self._begun >= WINDOW:
            self._begun = now
            self._before, self._since = self._since, {}
            self._ejected = {
                each: (times, at)
                for each, (times, at) in self._ejected.items()
                if now - at < _MEMORY
            }
        for pool in self._failover.all:
            yield from self._look_at(pool, now)

    def _look_at(self, pool: Pool, now: float) -> Steps[None]:
        windows = {}
        for upstream in tuple(pool.candidates):
            if upstream not in pool.ejected:
                identity = upstream.instance.identity
                window = self._window(identity)
                if window is not None:
                    windows[identity] = window
            yield False
        bounds = FIRST_BYTE if self._is_http else CONNECT
        of = "first bytes" if self._is_http else "connects"
        for slow in slow_ones(self._rule, bounds, windows):
            times, _ = self._ejected.get(slow.key, (0, 0.0))
            if pool.eject(slow.key, slow.in_words(self._rule, of), times) != "":
                return  # no more may be ejected
            self._ejected[slow.key] = times + 1, now
            # It is judged by what comes after its return.
            self._before.pop(slow.key, None)
            self._since.pop(slow.key, None)

    def _window(self, identity: Identity) -> list[int] | None:
        """The times of an upstream in the window; None: it has just begun."""
        counted = self._counted(identity)
        if counted is None:
            return None
        begun = self._before.get(identity) or self._since.get(identity)
        if identity not in self._since:
            self._since[identity] = counted[0], list(counted[1])
        if begun is None:
            return None
        total, counts = counted
        before, earlier = begun
        for _ in range(total // RECENT - before // RECENT):
            if not any(earlier):
                break
            earlier = halves(earlier)
        return [max(0, a - b) for a, b in zip(counts, earlier, strict=True)]

    def _counted(self, identity: Identity) -> _Counted | None:
        if self._is_http:
            http = self._stats.use_http().accounts.get(identity)
            return None if http is None else (http.answered, http.recent)
        account = self._stats.accounts.get(identity)
        return None if account is None else (account.total, account.connects)
