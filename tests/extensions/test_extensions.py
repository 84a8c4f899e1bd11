"""Policies and hooks that mappings name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.custom_policy import GuardedPolicy
from lbconsul.balance.policy import LeastConnections, RoundRobin
from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.extensions.extensions import HOOKS_GROUP, POLICY_GROUP, Extensions
from tests.support.instances import upstreams
from tests.support.packages import FIRST, importable, write_entry_point, write_module


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on Python's module path."""
    with importable(tmp_path):
        yield tmp_path


def _mapping(policy: str) -> Mapping:
    return configure([], [f"80:web,policy={policy}"]).mappings[0]


class TestPolicy:
    """The policy of a mapping."""

    def test_own(self, folder: Path) -> None:
        """An operator's own is guarded, and its faults are told."""
        extensions = Extensions(Clock())
        name = f"{write_module(folder, FIRST)}:First"
        extensions.load(_mapping(name))
        policy = extensions.policy(name)(lambda: 0.0)
        assert isinstance(policy, GuardedPolicy)
        one, other = upstreams(1, 1)
        policy.place(other)
        policy.place(one)
        assert policy.choose() is one
        policy.withdraw(one)
        policy.withdraw(one)
        assert extensions.faults.counts.total() == 1

    def test_entry_point(self, folder: Path) -> None:
        """So is one that an installed package has."""
        extensions = Extensions(Clock())
        module = write_module(folder, FIRST)
        write_entry_point(folder, POLICY_GROUP, "first", f"{module}:First")
        extensions.load(_mapping("first"))
        assert isinstance(extensions.policy("first")(lambda: 0.0), GuardedPolicy)

    def test_built_in(self) -> None:
        """One that is built in is itself: it needs no guard."""
        extensions = Extensions(Clock())
        extensions.load(_mapping("roundrobin"))
        assert extensions.policy("roundrobin") is RoundRobin

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("Own = 3", "is int, not a class that makes policies"),
            (
                "class Own: pass",
                "is no policy: the constructor raised TypeError: Own()",
            ),
            (
                "class Own:\n    def __init__(self, chance): pass",
                "is no policy: has no place, withdraw, choose: a policy has place(ups",
            ),
        ],
    )
    def test_mistakes(self, folder: Path, code: str, why: str) -> None:
        """What is no policy is refused in one line: where, what, and what is one."""
        name = f"{write_module(folder, code)}:Own"
        with pytest.raises(ConfigError) as raised:
            Extensions(Clock()).load(_mapping(name))
        assert str(raised.value).startswith(f"80:web: policy={name}: {why}")

    def test_misspelt(self) -> None:
        """A misspelt name is answered with those there are."""
        with pytest.raises(ConfigError) as raised:
            Extensions(Clock()).load(_mapping("leastcon"))
        said = "80:web: policy=leastcon: unknown; did you mean leastconn?"
        assert str(raised.value) == said
        with pytest.raises(ConfigError) as raised:
            Extensions(Clock()).load(_mapping("fastest"))
        assert str(raised.value) == (
            "80:web: policy=fastest: no installed package has an entry point of this"
            " name in the group lbconsul.policies; built in are hash, leastconn, p2c,"
            " random, roundrobin"
        )

    def test_gone(self) -> None:
        """One that a worker cannot load any more is replaced, which is logged."""
        with capturedLogs() as events:
            made = Extensions(Clock()).policy("own_gone:Own")
        assert made is LeastConnections
        [event] = events
        said = formatEvent(event) or ""
        assert said.startswith("policy=own_gone:Own: there is no module own_gone: ")
        assert said.endswith("; leastconn replaces it")


def _with_hooks(names: str) -> Mapping:
    return configure([], [f"80:web,hooks={names}"]).mappings[0]


HOOKS = """
class Own:
    def on_accept(self, client):
        return None

own = Own()
"""


class TestHooks:
    """The hooks of a mapping."""

    def test_shared(self, folder: Path) -> None:
        """Mappings share one object, which outlives a reload; they may have several."""
        extensions = Extensions(Clock())
        module = write_module(folder, HOOKS)
        write_entry_point(folder, HOOKS_GROUP, "mine", f"{module}:own")
        mapping = _with_hooks(f"{module}:Own|mine")
        extensions.load(mapping)
        one, other = extensions.hooks(mapping), extensions.hooks(mapping)
        assert one is not None and other is not None
        assert one._all == other._all
        assert [each.name for each in one._all] == [f"{module}:Own", "mine"]

    def test_none(self) -> None:
        """A mapping without hooks has none to be asked."""
        assert Extensions(Clock()).hooks(Mapping("web")) is None

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("Own = 3", "has no hooks: they are on_accept(client) and on_end(connect"),
            (
                "class Own:\n    def __init__(self): 1/0",
                "cannot be made: it raised Z",
            ),
            ("class Own:\n    on_end = 7", "on_end is int, not a method"),
            (
                "class Own:\n    async def on_accept(self, client): pass",
                "on_accept is a coroutine: a hook may not wait",
            ),
        ],
    )
    def test_mistakes(self, folder: Path, code: str, why: str) -> None:
        """What has no hooks is refused in one line."""
        name = f"{write_module(folder, code)}:Own"
        with pytest.raises(ConfigError) as raised:
            Extensions(Clock()).load(_with_hooks(name))
        assert str(raised.value).startswith(f"80:web: hooks={name}: {why}")

    def test_gone(self) -> None:
        """What a worker cannot load any more is left out, which is logged."""
        with capturedLogs() as events:
            assert Extensions(Clock()).hooks(_with_hooks("own_gone:Own")) is None
        [event] = events
        said = formatEvent(event) or ""
        assert said.startswith("hooks=own_gone:Own: there is no module own_gone: ")
        assert said.endswith("; clients are served without")
