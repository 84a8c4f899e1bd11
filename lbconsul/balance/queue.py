"""A queue of clients that wait for an upstream, first come first served."""

from typing import Generic, TypeVar

from attrs import Factory, define

Client = TypeVar("Client")


@define(eq=False)
class Queue(Generic[Client]):
    """At most `length` clients; each knows itself how long it waits."""

    length: int
    _waiting: dict[Client, None] = Factory(dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, client: Client) -> bool:
        """Queue up behind all others; whether there is room."""
        if len(self._waiting) >= self.length:
            return False
        self._waiting[client] = None
        return True

    def leave(self, client: Client) -> None:
        """It waits no longer, if it did."""
        self._waiting.pop(client, None)

    def first(self) -> Client | None:
        """Whose turn it is."""
        return next(iter(self._waiting), None)
