"""What the workers count, those that have ended included."""

from collections import Counter
from collections.abc import Callable, Iterable

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.config.model import Mapping
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.listeners import ListenerSet
from lbconsul.workers.worker_process import WorkerProcess


@define(eq=False)
class WorkerStats:
    """Sums up the reports of all workers."""

    _listeners: ListenerSet
    _workers: Callable[[], Iterable[WorkerProcess]]
    #: Connections accepted by workers that have ended; and at the end, how many were
    #: closed and how many leases were left.
    _accepted: int = 0
    closed: int = 0
    leases: int = 0
    _faults: Counter[tuple[str, str]] = Factory(Counter)
    #: The traffic that ended workers had reported, by assignment.
    _past: dict[int, MappingStats] = Factory(dict)

    @property
    def accepted(self) -> int:
        """Connections accepted, as last reported by the workers."""
        reported = (each.report.count.accepted for each in self._workers())
        return self._accepted + sum(reported)

    @property
    def faults(self) -> Counter[tuple[str, str]]:
        """The faults of policies and hooks, as last reported by the workers."""
        faults = Counter(self._faults)
        for worker in self._workers():
            faults.update(worker.report.faults_by_kind)
        return faults

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """A mapping's traffic over all workers."""
        number = self._listeners.number(mapping)
        if number is None:
            return MappingTraffic()
        past = [MappingTraffic(self._past[number])] if number in self._past else []
        return MappingTraffic.sum(past + self._reported(number))

    def parts(self, mapping: Mapping) -> list[MappingStats]:
        """A mapping's statistics: of the workers that have ended, and of each other."""
        number = self._listeners.number(mapping)
        if number is None:
            return []
        past = [self._past[number]] if number in self._past else []
        return past + [each.stats for each in self._reported(number)]

    def ejected(
        self, mapping: Mapping
    ) -> dict[tuple[int, Identity], tuple[Ejection, float]]:
        """A mapping's upstreams that workers have ejected, as in `MappingTraffic`."""
        number = self._listeners.number(mapping)
        if number is None:
            return {}
        return {
            k: v for each in self._reported(number) for k, v in each.ejected.items()
        }

    def ended(self, worker: WorkerProcess, termination: str, *, is_final: bool) -> None:
        """Keep the counts of a worker that has ended.

        Its connections have this termination.  `is_final`: no other worker replaces it.
        """
        report = worker.report
        self._accepted += report.count.accepted
        self._faults.update(report.faults_by_kind)
        for number, traffic in worker.traffic.items():
            past = self._past.setdefault(number, MappingStats())
            past.add(traffic.close(termination))
        if is_final:
            self.closed += report.count.open
            self.leases += report.leases

    def tidy(self, knows: Callable[[Identity], bool]) -> None:
        """Drop the counts of sockets that are gone, and of instances not known."""
        numbers = self._listeners.numbers
        for gone in self._past.keys() - numbers:
            del self._past[gone]
        for stats in self._past.values():
            stats.tidy(knows)
        for worker in self._workers():
            for gone in worker.traffic.keys() - numbers:
                del worker.traffic[gone]
            for traffic in worker.traffic.values():
                traffic.stats.tidy(knows)

    def _reported(self, number: int) -> list[MappingTraffic]:
        reported = (each.traffic.get(number) for each in self._workers())
        return [each for each in reported if each is not None]
