"""Who clients are: credentials are verified once, until the passwords change."""

from collections.abc import Callable
from typing import Any

import pytest

from lbconsul.http.basic_auth import Credentials
from lbconsul.http.htpasswd import Passwords
from lbconsul.proxy import authenticators
from lbconsul.proxy.authenticators import Authenticator, Authenticators
from lbconsul.proxy.password_checks import TooManyChecks

ALICE, WRONG = Credentials(b"alice", b"right"), Credentials(b"alice", b"wrong")
STRANGER = Credentials(b"mallory", b"right")
CLIENT = "192.0.2.1"


class Checks:
    """Password checks that the test carries out; a hash is its password here."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, bytes, Callable[[bool], None]]] = []

    def verify(
        self, client: str, hashed: bytes, password: bytes, result: Callable[..., None]
    ) -> None:
        assert client == CLIENT
        self.waiting.append((hashed, password, result))

    def carry_out(self) -> int:
        """Verify what waits; how much that was."""
        waiting, self.waiting = self.waiting, []
        for hashed, password, result in waiting:
            result(hashed == password)
        return len(waiting)


class Door:
    """An authenticator, and what it says."""

    def __init__(self) -> None:
        self.checks = Checks()
        checks: Any = self.checks
        self.of = Authenticator(checks)
        self.of.use(Passwords({b"alice": b"right", b"bob": b"right"}))

    def asks(self, credentials: Credentials) -> list[bool]:
        """The verdicts so far, and those that come."""
        said: list[bool] = []
        verdict = self.of.verdict(credentials, CLIENT, said.append)
        return said if verdict is None else [verdict]


def test_verdicts() -> None:
    """What was right is right at once from then on; what was wrong is tried again, and
    a user that is not known takes as long, though the password were another user's."""
    door = Door()
    asked = {each: door.asks(each) for each in (ALICE, WRONG, STRANGER)}
    assert not any(asked.values())
    assert door.checks.carry_out() == 3
    assert asked == {ALICE: [True], WRONG: [False], STRANGER: [False]}
    assert door.asks(ALICE) == [True]
    assert (door.asks(WRONG), door.asks(STRANGER)) == ([], [])
    assert door.checks.carry_out() == 2


def test_the_same_at_once() -> None:
    """The connections of one browser wait for one verification."""
    door = Door()
    asked = [door.asks(ALICE) for _ in range(6)]
    assert door.checks.carry_out() == 1
    assert asked == [[True]] * 6


def test_passwords_that_change() -> None:
    """Nothing that was verified by the old passwords counts for the new ones."""
    door = Door()
    door.asks(ALICE)
    door.checks.carry_out()
    late = door.asks(WRONG)
    door.of.use(Passwords({b"alice": b"wrong"}))
    assert (door.asks(ALICE), door.asks(WRONG)) == ([], [])
    door.checks.carry_out()
    assert late == [False]
    assert (door.asks(ALICE), door.asks(WRONG)) == ([], [True])
    door.of.use(Passwords({b"alice": b"wrong"}))
    assert door.asks(WRONG) == [True]


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are remembered, and the longest known is forgotten first; of passwords
    nothing is kept."""
    monkeypatch.setattr(authenticators, "_MOST_KNOWN", 2)
    door = Door()
    door.of.use(Passwords({b"a": b"x", b"b": b"x", b"c": b"x"}))
    for user in (b"a", b"b", b"c"):
        door.asks(Credentials(user, b"x"))
        door.checks.carry_out()
    known = [bool(door.asks(Credentials(user, b"x"))) for user in (b"a", b"b", b"c")]
    assert known == [False, True, True]
    assert all(len(each) == 64 for each in door.of._known)


def test_files() -> None:
    """Mappings with one file share what is verified; without passwords no user is let
    in."""
    of = Authenticators(None)
    assert of.of("") is None
    first = of.of("/a")
    assert first is not None and of.of("/a") is first
    with pytest.raises(TooManyChecks, match="have not come yet"):
        first.verdict(ALICE, CLIENT, lambda is_right: None)
    of.use("/a", Passwords({b"alice": b"right"}))
    of.keep_only(["/b"])
    assert of.of("/a") is not first
    of.stop()
