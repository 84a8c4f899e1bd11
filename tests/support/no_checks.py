"""A gateway without checks of its own."""

from lbconsul.balance.instance import Instance
from lbconsul.balance.pool import Pool


class NoChecks:
    """Nothing is checked."""

    checker: None = None

    def target(self, pool: Pool, instance: Instance) -> None:
        """Nothing."""
