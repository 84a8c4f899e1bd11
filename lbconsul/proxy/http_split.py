"""The plans of requests of a mapping or route that has a split."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field

from lbconsul.proxy.http_settings import HTTPSettings
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.split import ProxySplit


class Planned(Protocol):
    """A plan, an `http_plan.Plan`."""

    #: The client's address.
    client: str
    split: Any


Plan = TypeVar("Plan", bound=Planned)


@define(eq=False)
class SplitPlans(Generic[Plan]):
    """The plans of all requests with equal heads, one for each part."""

    #: What they have in common.
    _whole: Plan
    _split: ProxySplit[MappingProxy]
    _of_part: Callable[[Plan, MappingProxy], Plan]
    _plans: dict[MappingProxy, Plan] = field(factory=dict)

    def next(self) -> Plan:
        """The plan of the next request: of the part whose turn it is."""
        return self._plan(self._split.of_request(self._whole.client))

    def bound(self, settings: HTTPSettings) -> Plan | None:
        """The plan of the part with these settings; None if there is none.

        A client whose connection to an instance is its own stays in that part.
        """
        for part in self._split.parts:
            if part.http is settings:
                return self._plan(part)
        return None

    def _plan(self, part: MappingProxy) -> Plan:
        plan = self._plans.get(part)
        if plan is None:
            plan = self._plans[part] = self._of_part(self._whole, part)
            plan.split = self
        return plan
