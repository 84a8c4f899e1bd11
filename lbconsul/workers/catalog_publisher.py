"""Sends each change of the catalog to all workers."""

from collections.abc import Callable, Iterable

from attrs import define
from twisted.logger import Logger

from lbconsul.balance.events import Change
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.workers.shared_table import SLOTS, Table
from lbconsul.workers.versioned_catalog import VersionedCatalog
from lbconsul.workers.worker_process import WorkerProcess


@define(eq=False)
class CatalogPublisher:
    """Keeps the workers' catalog, and the slots in which instances are counted."""

    _log = Logger()
    catalog: VersionedCatalog
    _table: Table
    _workers: Callable[[], Iterable[WorkerProcess]]
    _is_full: bool = False

    def changed(self, query: ServiceQuery, change: Change, *, pending: bool) -> None:
        """Send the workers a change of an answer, which may be `pending`."""
        delta = self.catalog.change(query, change, pending=pending)
        if delta is None:
            return
        for worker in self._workers():
            worker.changed(delta)
        find = self.catalog.slots.find
        if not self._is_full and any(find(each.identity) is None for each in delta.put):
            self._is_full = True
            self._log.warn(
                "more than {slots} instances: for the others each worker counts only"
                " its own connections",
                slots=SLOTS,
            )

    def forget(self, query: ServiceQuery) -> None:
        """Send the workers that a query is no longer asked."""
        delta = self.catalog.forget(query)
        if delta is not None:
            for worker in self._workers():
                worker.changed(delta)

    def reclaim(self) -> None:
        """Free the slots of instances that all workers know to be gone, and idle."""
        known = min((each.report.version for each in self._workers()), default=0)
        self.catalog.slots.reclaim(known, lambda slot: not self._table.total(slot))
