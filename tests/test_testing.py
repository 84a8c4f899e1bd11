"""The test kit: it finds what is wrong with a policy."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import Phase, settings

from lbconsul import Client, Connection, Deny
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.upstream_view import UpstreamView
from lbconsul.testing import change_upstream, check_policy, make_upstream
from tests.balance.test_custom_policy import First
from tests.support.binaries import REPOSITORY
from tests.support.packages import FIRST, importable, write_module


def test_sound_policy(tmp_path: Path) -> None:
    """A sound policy passes, given as a class or by its name."""
    check_policy(First)
    with importable(tmp_path):
        check_policy(f"{write_module(tmp_path, FIRST)}:First", examples=10)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_built_in(name: str) -> None:
    """Those that are built in keep to the same contract."""
    check_policy(POLICIES[name], examples=20)  # type: ignore[arg-type]


class _KeepsWithdrawn(First):
    def withdraw(self, upstream: UpstreamView) -> None:
        """Forget to forget it, if there is another one."""
        if len(self.placed) == 1:
            super().withdraw(upstream)


class _Twice(First):
    """Has an upstream twice that is placed twice."""

    def __init__(self, chance: Callable[[], float]) -> None:
        super().__init__(chance)
        self.all: list[UpstreamView] = []

    def place(self, upstream: UpstreamView) -> None:
        """Append it, as if it were new."""
        self.all.append(upstream)

    def withdraw(self, upstream: UpstreamView) -> None:
        """Remove it once."""
        self.all.remove(upstream)

    def choose(self) -> UpstreamView | None:
        """The last one."""
        return self.all[-1] if self.all else None


class _Lazy(First):
    def choose(self) -> UpstreamView | None:
        """None while there are many."""
        return super().choose() if len(self.placed) < 3 else None


class _Full(First):
    def choose(self) -> UpstreamView | None:
        """Fail where one has connections."""
        chosen = super().choose()
        if chosen is not None and chosen.connections > 2:
            raise OverflowError
        return chosen


@pytest.fixture
def without_shrinking() -> Iterator[None]:
    """Have hypothesis look for no shorter way to a mistake, which takes time."""
    settings.register_profile("found", phases=[Phase.generate])
    settings.load_profile("found")
    yield
    settings.load_profile("tests")


@pytest.mark.usefixtures("without_shrinking")
@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (_KeepsWithdrawn, "placed: "),
        (_Twice, "placed: "),
        (_Lazy, "is None, but"),
        (_Full, ""),
    ],
)
def test_unsound_policy(policy: type[First], error: str) -> None:
    """What a policy does wrong is found."""
    with pytest.raises((AssertionError, OverflowError)) as raised:
        check_policy(policy)
    assert error in str(raised.value)


def test_upstream() -> None:
    """A test can make upstreams, and load them."""
    upstream = make_upstream("web-9", weight=2, connections=3, tags=("ssd",))
    assert (upstream.weight, upstream.connections, upstream.tags) == (2.0, 3, ("ssd",))
    change_upstream(upstream, weight=4, connections=0)
    assert (upstream.weight, upstream.connections) == (4.0, 0)


def test_documented_policy() -> None:
    """The policy and the test of the documentation do what it says."""
    page = (REPOSITORY / "docs" / "extending.md").read_text()
    policy, test, hooks = re.findall(
        r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL
    )
    package, module = ModuleType("mypackage"), ModuleType("mypackage.nearest")
    exec(policy, module.__dict__)
    with patch.dict(sys.modules, {"mypackage": package, "mypackage.nearest": module}):
        names: dict[str, Any] = {}
        exec(test, names)
    names["test_contract"]()
    names["test_this_rack_first"]()
    exec(hooks, names)
    limit, client = names["PerTenant"](), Client(server_name="acme")
    assert [limit.on_accept(client) for _ in range(101)] == [
        *[None] * 100,
        Deny("acme has 100 connections"),
    ]
    limit.on_end(Connection(client=client))
    assert limit.on_accept(client) is None
