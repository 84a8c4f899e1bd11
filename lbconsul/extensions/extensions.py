"""An operator's own policies and hooks in one process: loaded once, and guarded."""

import random
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import cast

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.custom_policy import GuardedPolicy, PolicyFactory, try_out
from lbconsul.balance.fault import in_words
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.upstream import TierPolicy
from lbconsul.balance.weighted import Chance
from lbconsul.config.model import Mapping
from lbconsul.config.values import nearest
from lbconsul.errors import ConfigError
from lbconsul.extensions.faults import Faults
from lbconsul.extensions.hooks import METHODS, GuardedHooks, HookChain
from lbconsul.extensions.load import load

#: The groups of entry points.
POLICY_GROUP = "lbconsul.policies"
HOOKS_GROUP = "lbconsul.hooks"


@define(eq=False)
class Extensions:
    """Loads what mappings name, and guards it."""

    _log = Logger()
    _clock: IReactorTime
    faults: Faults = Factory(lambda self: Faults(self._clock), takes_self=True)
    _policies: dict[str, PolicyFactory] = Factory(dict)
    _hooks: dict[str, GuardedHooks] = Factory(dict)

    def load(self, mapping: Mapping) -> None:
        """Load what one row names, and try it out.

        :raises ConfigError: it cannot be used.
        """
        name = option = ""
        try:
            if mapping.policy not in POLICIES:
                option, name = "policy", mapping.policy
                self._policy(name)
            for name in mapping.hooks:
                option = "hooks"
                self._hooks_of(name)
        except ConfigError as error:
            raise ConfigError(f"{mapping}: {option}={name}: {error}") from None

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

    def hooks(self, mapping: Mapping) -> HookChain | None:
        """The hooks of a mapping; None if it has none.

        What cannot be loaded is logged, and left out.
        """
        found = []
        for name in mapping.hooks:
            try:
                found.append(self._hooks_of(name))
            except ConfigError as error:  # it was in order when the gateway started
                self._log.error(
                    "hooks={name}: {error}; clients are served without",
                    name=name,
                    error=str(error),
                )
        return HookChain(tuple(found)) if found else None

    def _hooks_of(self, name: str) -> GuardedHooks:
        """The hooks of this name, which mappings share, and may still count on.

        :raises ConfigError: they cannot be used.
        """
        guarded = self._hooks.get(name)
        if guarded is None:
            seconds = self._clock.seconds
            guarded = GuardedHooks(name, load_hooks(name), seconds, self.faults.tell)
            self._hooks[name] = guarded
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


def load_hooks(name: str) -> object:
    """The object with hooks of this name, made if it is that of a class.

    :raises ConfigError: it cannot be used.
    """
    found = load(name, HOOKS_GROUP)
    if isinstance(found, type):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise ConfigError(f"cannot be made: it raised {in_words(error)}") from None
    methods = [getattr(found, each, None) for each in METHODS]
    if not any(methods):
        raise ConfigError(
            "has no hooks: they are on_accept(client) and on_end(connection)"
        )
    for method, each in zip(METHODS, methods, strict=True):
        if iscoroutinefunction(each):
            raise ConfigError(f"{method} is a coroutine: a hook may not wait")
        if each is not None and not callable(each):
            raise ConfigError(f"{method} is {type(each).__name__}, not a method")
    return found
