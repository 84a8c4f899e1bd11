"""A connection to an upstream that carries nothing."""

from typing import Any

from attrs import define

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Upstream


@define(eq=False)
class IdleConnection:
    """A connection that only knows whether it is closed."""

    upstream: Upstream
    instance: Instance
    keeps: float = 4.0
    idle_since: float = 0.0
    keeper: Any = None
    is_closed: bool = False

    def close(self) -> None:
        """Note it."""
        self.is_closed = True
