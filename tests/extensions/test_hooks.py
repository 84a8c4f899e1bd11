"""Hooks: what each is asked, and what none can do."""

from collections.abc import Callable

import pytest

from lbconsul import Allow, Client, Connection, Deny, Prefer
from lbconsul.balance.custom_policy import SLOW
from lbconsul.balance.fault import Fault, FaultKind
from lbconsul.extensions.hooks import GuardedHooks, HookChain
from tests.support.own_hooks import OwnHooks

ONE, OTHER = "dc1/node-1/web-1", "dc1/node-1/web-2"


class Stage:
    """A chain of some hooks, and what is reported of them."""

    def __init__(self, count: int = 1) -> None:
        self.faults: list[Fault] = []
        self.now = 0.0
        self.hooks = [OwnHooks() for _ in range(count)]
        self.chain = HookChain(
            tuple(
                GuardedHooks(f"pkg:{n}", each, lambda: self.now, self.faults.append)
                for n, each in enumerate(self.hooks)
            )
        )

    def told(self) -> list[str]:
        """What was reported."""
        return list(map(str, self.faults))


def _decides(answer: object) -> Callable[[Client], None]:
    return lambda client: answer  # type: ignore[return-value]


class TestDecisions:
    """What becomes of a client."""

    @pytest.mark.parametrize("answer", [None, Allow()])
    def test_allow(self, answer: object) -> None:
        """A client is let in, and its end is told."""
        stage = Stage()
        stage.hooks[0].decide = _decides(answer)
        client = Client(address="192.0.2.1")
        visit = stage.chain.accept(client)
        assert (visit.denial, visit.preferred) == ("", None)
        connection = Connection(client=client)
        visit.end(connection)
        assert stage.hooks[0].clients == [client]
        assert stage.hooks[0].ended == [connection]

    def test_prefer(self) -> None:
        """The first preference of several counts."""
        stage = Stage(3)
        for hooks, answer in zip(
            stage.hooks, (None, Prefer(ONE), Prefer(OTHER)), strict=True
        ):
            hooks.decide = _decides(answer)
        preferred = stage.chain.accept(Client()).preferred
        assert preferred is not None and preferred.id == ONE

    def test_deny(self) -> None:
        """
        Nothing is asked any more once one denies; those that let the client in before
        are told that it is over.
        """
        stage = Stage(3)
        stage.hooks[1].decide = _decides(Deny("too\nmany"))
        client = Client()
        visit = stage.chain.accept(client)
        assert visit.denial == "denied by pkg:1: too many"
        visit.end(Connection(client=client))
        assert [len(each.clients) for each in stage.hooks] == [1, 1, 0]
        assert [len(each.ended) for each in stage.hooks] == [1, 0, 0]

    def test_deny_without_reason(self) -> None:
        """A reason need not be given."""
        stage = Stage()
        stage.hooks[0].decide = _decides(Deny())
        assert stage.chain.accept(Client()).denial == "denied by pkg:0"

    def test_one_hook_only(self) -> None:
        """An object may have one of the hooks alone."""

        class OnlyEnd:
            ended = 0

            def on_end(self, connection: Connection) -> None:
                self.ended += 1

        class OnlyAccept:
            def on_accept(self, client: Client) -> None:
                """Let it in."""

        own, faults = OnlyEnd(), list[Fault]()
        chain = HookChain(
            tuple(
                GuardedHooks("pkg:Own", each, lambda: 0.0, faults.append)
                for each in (own, OnlyAccept())
            )
        )
        visit = chain.accept(Client())
        visit.end(Connection(client=visit.client))
        assert own.ended == 1
        assert not faults


class TestFaults:
    """What goes wrong in a hook: it is reported, and the client is served."""

    def test_exceptions(self) -> None:
        """An exception is as if the hook were not there, and others are asked."""
        stage = Stage(2)

        def fail(*arguments: object) -> None:
            raise RuntimeError("no table")

        stage.hooks[0].decide = stage.hooks[0].on_ended = fail
        visit = stage.chain.accept(Client())
        assert not visit.denial
        visit.end(Connection(client=visit.client))
        assert [len(each.ended) for each in stage.hooks] == [1, 1]
        accepted, ended = stage.told()
        assert accepted.startswith(
            "pkg:0: on_accept raised RuntimeError: no table (test_hooks.py, line "
        )
        assert accepted.endswith("; the client is let in")
        assert ended.startswith("pkg:0: on_end raised RuntimeError: no table (test_ho")

    def test_exit(self) -> None:
        """A hook cannot end the gateway."""
        stage = Stage()

        def leave(client: Client) -> None:
            raise SystemExit(1)

        stage.hooks[0].decide = leave
        assert not stage.chain.accept(Client()).denial
        assert len(stage.faults) == 1

    def test_wrong_answers(self) -> None:
        """What is no decision lets the client in."""
        stage = Stage()

        async def later() -> None:
            """Decide later, which a hook may not."""

        for answer in (False, later()):
            stage.hooks[0].decide = _decides(answer)
            assert not stage.chain.accept(Client()).denial
        what = (
            "which is none of Allow(), Deny(), Prefer() and None; the client is let in"
        )
        assert stage.told() == [
            f"pkg:0: on_accept returned bool, {what}",
            f"pkg:0: on_accept returned coroutine, {what}",
        ]

    def test_end_that_waits(self) -> None:
        """An end that wants to be awaited is not."""
        stage = Stage()

        async def later() -> None:
            """Never runs."""

        stage.hooks[0].on_end = lambda connection: later()  # type: ignore[assignment]
        stage.chain = HookChain(
            (GuardedHooks("p:0", stage.hooks[0], lambda: 0.0, stage.faults.append),)
        )
        visit = stage.chain.accept(Client())
        visit.end(Connection(client=visit.client))
        assert stage.told() == ["p:0: on_end returned coroutine: a hook may not wait"]

    def test_slow(self) -> None:
        """A hook that takes long is named, and its decision counts."""
        stage = Stage()

        def slowly(client: Client) -> Deny:
            stage.now += 3 * SLOW
            return Deny()

        stage.hooks[0].decide = slowly
        assert stage.chain.accept(Client()).denial
        assert [each.kind for each in stage.faults] == [FaultKind.SLOW]
        assert stage.told() == [
            "pkg:0: on_accept took 15 ms, while all clients of its process waited"
        ]
