"""The state of one check: which results change it.  Pure.

The rule is HAProxy's `rise` and `fall`, and its `init-state up` for the first result.
https://docs.haproxy.org/3.1/configuration.html#5.2-init-state
"""

from attrs import define


@define
class CheckState:
    """Whether an instance passes, by its latest results.

    The first result decides alone; afterwards `rise` consecutive successes or `fall`
    consecutive failures change the state.
    """

    rise: int
    fall: int
    #: None: there is no result yet.
    is_up: bool | None = None
    #: How many of the latest results contradict the state.
    contrary: int = 0

    def learn(self, passed: bool) -> bool:
        """Count a result; returns whether it changes the state."""
        if passed is self.is_up:
            self.contrary = 0
            return False
        self.contrary += 1
        is_known = self.is_up is not None
        if is_known and self.contrary < (self.rise if passed else self.fall):
            return False
        self.is_up, self.contrary = passed, 0
        return True

    @property
    def is_settled(self) -> bool:
        """Whether the latest result agrees with the state."""
        return self.is_up is not None and not self.contrary
