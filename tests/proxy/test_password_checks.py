"""Passwords are verified in threads: in turn, and only so many."""

import pytest

from lbconsul.proxy import password_checks
from lbconsul.proxy.password_checks import PasswordChecks, TooManyChecks
from tests.support.passwords import hashed
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually

#: What clients try; 300 characters are more than bcrypt looks at.
PASSWORD = "x" * 300


class Held:
    """Checks of a reactor that runs, of which none begins until `go_on`."""

    def __init__(self, running: ReactorThread) -> None:
        self.running = running
        self.checks = PasswordChecks(running.reactor, threads=0)
        self.over: list[tuple[str, bool]] = []
        self.hash = hashed(PASSWORD[:72])

    def ask(self, client: str, name: str, password: str = PASSWORD) -> None:
        """Have a password verified."""

        def verify() -> None:
            self.checks.verify(
                client,
                self.hash,
                password.encode(),
                lambda is_right: self.over.append((name, is_right)),
            )

        self.running.call(verify)

    def go_on(self, count: int) -> list[tuple[str, bool]]:
        """Begin, and return so many results."""
        self.checks._threads = 1
        self.running.call(self.checks._begin)
        eventually(lambda: len(self.over) == count, "all are verified")
        return self.over


@pytest.fixture
def held() -> object:
    """Checks that have not begun."""
    with ReactorThread() as running:
        held = Held(running)
        yield held
        running.call(held.checks.stop)


def test_turns(held: Held) -> None:
    """A client that tries many passwords delays another one by a single check."""
    for number in range(3):
        held.ask("192.0.2.1", f"flood {number}", "wrong")
    held.ask("2001:db8::1", "user")
    held.ask("2001:db8::2", "same network")
    held.ask("192.0.2.9", "other")
    assert held.go_on(6) == [
        ("flood 0", False),
        ("user", True),
        ("other", True),
        ("flood 1", False),
        ("same network", True),
        ("flood 2", False),
    ]


def test_limits(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many wait at most, of one client and of all; then others may again."""
    monkeypatch.setattr(password_checks, "MOST_OF_CLIENT", 2)
    monkeypatch.setattr(password_checks, "MOST_WAITING", 3)
    for _ in range(2):
        held.ask("192.0.2.1", "one")
    with pytest.raises(TooManyChecks, match="2 passwords of this client wait"):
        held.ask("192.0.2.1", "one")
    held.ask("192.0.2.2", "two")
    with pytest.raises(TooManyChecks, match="3 passwords wait to be verified"):
        held.ask("192.0.2.3", "three")
    held.go_on(3)
    held.ask("192.0.2.3", "three")
    assert held.go_on(4)[-1] == ("three", True)
