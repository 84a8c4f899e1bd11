"""Hooks of a test's own, which name themselves as an option does."""

from collections.abc import Callable

from lbconsul import Client, Connection
from lbconsul.extensions.hook_values import Decision


class OwnHooks:
    """Hooks that do what the test says, and remember what they are told."""

    #: In the option ``hooks``.
    name = f"{__name__}:HOOKS"

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, and let clients in."""
        self.decide: Callable[[Client], Decision] = lambda client: None
        self.clients: list[Client] = []
        self.ended: list[Connection] = []
        self.on_ended: Callable[[Connection], None] = lambda connection: None

    def on_accept(self, client: Client) -> Decision:
        """Do as the test says."""
        self.clients.append(client)
        return self.decide(client)

    def on_end(self, connection: Connection) -> None:
        """Remember it."""
        self.ended.append(connection)
        self.on_ended(connection)


HOOKS = OwnHooks()
