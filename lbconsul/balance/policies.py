"""The policies that are built in, by name."""

from collections.abc import Callable

from lbconsul.balance.consistent_hash import ConsistentHash
from lbconsul.balance.policy import (
    LeastConnections,
    PowerOfTwoChoices,
    Random,
    RoundRobin,
)
from lbconsul.balance.upstream import TierPolicy
from lbconsul.balance.weighted import Chance

#: Every policy by its name in the option ``policy``.
POLICIES: dict[str, Callable[[Chance], TierPolicy]] = {
    "hash": ConsistentHash,
    "leastconn": LeastConnections,
    "p2c": PowerOfTwoChoices,
    "random": Random,
    "roundrobin": RoundRobin,
}
