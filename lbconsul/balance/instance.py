"""An instance: one registration of a service in Consul's catalog."""

from typing import Literal, NamedTuple

from attrs import evolve, frozen

Status = Literal["passing", "warning", "critical", "maintenance"]

#: From the best to the worst; of several checks the worst one counts.
STATUSES: tuple[Status, ...] = ("passing", "warning", "critical", "maintenance")


#: No more of a name is shown to people, in characters: both names that tell an
#: instance from others have room in it, if they are no longer than they may be.
_WORD = 512


class Identity(NamedTuple):
    """What tells an instance from all others: a service id alone does not.

    Service ids are unique within one node only (hashicorp/consul#8930).
    """

    datacenter: str
    node: str
    service_id: str


@frozen
class Health:
    """What checks say, and the worst one's words on it."""

    status: Status = "passing"
    reason: str = ""

    def worst(self, other: "Health") -> "Health":
        """The worse of two; the first of equals."""
        return max(self, other, key=lambda health: STATUSES.index(health.status))


@frozen
class Instance:
    """One registration of a service.

    `host` is what Consul says, an IP address or a host name; `address` is the
    IP address to connect to, empty until a host name is resolved.  Of a UNIX socket
    both are its path.
    """

    identity: Identity
    host: str
    port: int
    address: str = ""
    tags: tuple[str, ...] = ()
    #: Consul's Weights.Passing and Weights.Warning.
    passing_weight: int = 1
    warning_weight: int = 1
    #: ``lbconsul-weight``, which replaces both.
    own_weight: int | None = None
    #: Service-level checks, and either kind of maintenance.
    health: Health = Health()
    #: Node-level checks.
    node_health: Health = Health()
    #: The other addresses of its host name, to try where `address` fails.
    alternates: tuple[str, ...] = ()
    #: Consul's CreateIndex, which is another one after a deregistration; 0: unknown.
    created: int = 0
    #: Why it is never connected to, whatever its checks say; empty for most.
    skipped: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that it may be connected to at; none until its name is resolved."""
        return (self.address, *self.alternates) if self.address else ()

    @property
    def location(self) -> tuple[str, int]:
        """Where it is connected to."""
        return self.address, self.port

    @property
    def place(self) -> str:
        """The same for people to read: ``10.0.0.1:80``, ``unix:/run/web.sock``."""
        if self.address.startswith("/"):
            return f"unix:{self.address}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def is_at(self, address: str, port: int) -> bool:
        """Whether that is where it is connected to, or one of the places."""
        return port == self.port and address in self.addresses

    def is_registration(self, created: int) -> bool:
        """Whether it is the registration with that CreateIndex, as far as one knows."""
        return not created or not self.created or created == self.created

    def preferring(self, address: str) -> "Instance":
        """The same, to be connected to at this one of its addresses first.

        The others follow in the order that they are in, as in a ring.
        """
        all = self.addresses
        number = all.index(address)
        first, *others = all[number:] + all[:number]
        return evolve(self, address=first, alternates=tuple(others))

    def __str__(self) -> str:
        words = f"{self.identity.service_id}@{self.identity.node}", self.place
        # It is two words in lines of log, and anybody may have registered it.
        return " ".join(_as_word(each) for each in words)


def _as_word(text: str) -> str:
    shown = text[:_WORD].replace(" ", "?")
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else "?" for char in shown)
