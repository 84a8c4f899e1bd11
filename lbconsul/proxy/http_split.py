"""The plans of requests of a mapping or route that has a split."""

from collections.abc import Callable
from copy import copy
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field

from lbconsul.http.request import RequestHead
from lbconsul.http.signed_cookie import without_cookie
from lbconsul.proxy.http_settings import HTTPSettings
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.split import ProxySplit
from lbconsul.proxy.split_cookie import PartCookies


class Planned(Protocol):
    """A plan, an `http_plan.Plan`."""

    head: RequestHead
    #: The client's address and scheme.
    client: str
    scheme: str
    #: The field lines that are sent on.
    lines: bytes
    split: Any
    #: The line that sets the cookie of the part; empty: the client has it, or needs
    #: none.
    set_cookie: bytes
    is_ordinary: bool


Plan = TypeVar("Plan", bound=Planned)


@define(eq=False)
class SplitPlans(Generic[Plan]):
    """The plans of all requests with equal heads, one for each part."""

    #: What they have in common.
    _whole: Plan
    _split: ProxySplit[MappingProxy]
    _of_part: Callable[[Plan, MappingProxy], Plan]
    _plans: dict[MappingProxy, Plan] = field(factory=dict)
    #: What the cookie of the requests says, as `PartCookies.find` has it.
    _kept: tuple[int | None, bool] | None = None

    def next(self) -> Plan:
        """The plan of the next request: of its client's part, or whose turn it is."""
        if self._split.cookies is not None:
            return self._by_cookie(self._split.cookies)
        part = self._split.of_request(self._whole.client)
        plan = self._plans.get(part)
        return self._plan(part) if plan is None else plan

    def _by_cookie(self, cookies: PartCookies) -> Plan:
        whole, parts = self._whole, self._split.parts
        if self._kept is None:
            self._kept = cookies.find(whole.head.fields.lines)
        number, is_present = self._kept
        if number is None or not parts[number].is_usable:
            chosen, is_present = self._split.of_request(whole.client), False
            number = parts.index(chosen)
        plan = self._plan(parts[number])
        if is_present:
            return plan
        line = cookies.line(number, is_https=whole.scheme == "https")
        plan = copy(plan)
        # A response that gets a line needs an exchange.
        plan.set_cookie, plan.is_ordinary = line, False
        return plan

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
            if self._split.cookies is not None:
                # The instance could do nothing with it but leak it.
                plan.lines = without_cookie(plan.lines, self._split.cookies.name)
        return plan
