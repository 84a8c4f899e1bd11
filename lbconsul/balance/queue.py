"""A wait queue: clients that wait for an upstream, first come first served."""

from typing import Generic, TypeVar

from attrs import Factory, define

Client = TypeVar("Client")


@define(eq=False)
class Queue(Generic[Client]):
    """Holds at most `length` clients; each client keeps its own timeout."""

    length: int
    _waiting: dict[Client, None] = Factory(dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, client: Client) -> bool:
        """Append a client; False if the queue is full."""
        if len(self._waiting) >= self.length:
            return False
        self._waiting[client] = None
        return True

    def leave(self, client: Client) -> None:
        """Remove a client, if it waits."""
        self._waiting.pop(client, None)

    def first(self) -> Client | None:
        """The client that has waited longest, or None."""
        return next(iter(self._waiting), None)
