"""The policies of one process that are an operator's own, loaded once."""

import random
from collections.abc import Callable
from typing import cast

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.custom_policy import GuardedPolicy, PolicyFactory, try_out
from lbconsul.balance.policy import POLICIES
from lbconsul.balance.upstream import TierPolicy
from lbconsul.balance.weighted import Chance
from lbconsul.config.model import Mapping
from lbconsul.config.values import nearest
from lbconsul.errors import ConfigError
from lbconsul.extensions.faults import Faults
from lbconsul.extensions.load import load

#: The group of entry points.
POLICY_GROUP = "lbconsul.policies"


@define(eq=False)
class Extensions:
    """Loads what mappings name, and guards it."""

    _log = Logger()
    _clock: IReactorTime
    faults: Faults = Factory(lambda self: Faults(self._clock), takes_self=True)
    _policies: dict[str, PolicyFactory] = Factory(dict)

    def load(self, mapping: Mapping) -> None:
        """Load what one row names, and try it out.

        :raises ConfigError: it cannot be used.
        """
        if mapping.policy not in POLICIES:
            try:
                self._policy(mapping.policy)
            except ConfigError as error:
                text = f"{mapping}: policy={mapping.policy}: {error}"
                raise ConfigError(text) from None

    def policy(self, name: str) -> Callable[[Chance], TierPolicy]:
        """What makes the policy of a name, for a registry.

        One that cannot be loaded is logged: least connections replaces it.
        """
        if name in POLICIES:
            return POLICIES[name]
        try:
            factory = self._policy(name)
        except ConfigError as error:  # it was in order when the gateway started
            self._log.error(
                "policy={name}: {error}; leastconn replaces it",
                name=name,
                error=str(error),
            )
            return POLICIES["leastconn"]

        def guarded(chance: Chance) -> TierPolicy:
            seconds = self._clock.seconds
            return GuardedPolicy(name, factory, chance, seconds, self.faults.tell)

        return guarded

    def _policy(self, name: str) -> PolicyFactory:
        """What makes a policy.

        :raises ConfigError: it cannot be used.
        """
        factory = self._policies.get(name)
        if factory is not None:
            return factory
        factory = self._policies[name] = load_policy(name)
        return factory


def load_policy(name: str) -> PolicyFactory:
    """What makes the policy of this name, one that is not built in.

    :raises ConfigError: it cannot be used.
    """
    try:
        found = load(name, POLICY_GROUP)
    except ConfigError as error:
        near = "" if ":" in name else nearest(name, POLICIES)
        if near:
            raise ConfigError(f"unknown; did you mean {near}?") from None
        raise ConfigError(f"{error}{_KNOWN if ':' not in name else ''}") from None
    if not callable(found):
        raise ConfigError(f"is {type(found).__name__}, not a class that makes policies")
    factory = cast(PolicyFactory, found)
    wrong = try_out(factory, random.Random(0).random)
    if wrong:
        raise ConfigError(f"is no policy: {wrong}")
    return factory


_KNOWN = f"; built in are {', '.join(sorted(POLICIES))}"
