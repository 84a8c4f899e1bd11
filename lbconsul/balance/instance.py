"""An instance: one registration of a service in Consul's catalog."""

from functools import cached_property
from typing import Literal, NamedTuple, Self

from attrs import evolve, frozen

from lbconsul.text import decoded_path, encoded_path, fit, printable

Status = Literal["passing", "warning", "critical", "maintenance"]

#: From best to worst; the worst of several checks counts.
STATUSES: tuple[Status, ...] = ("passing", "warning", "critical", "maintenance")


#: The most characters shown of a name: room for a service id and a node name of the
#: maximum lengths.
_WORD = 512


class Identity(NamedTuple):
    """Identifies an instance.

    A service id alone is unique within one node only (hashicorp/consul#8930).
    """

    datacenter: str
    node: str
    service_id: str

    @property
    def id(self) -> str:
        """``datacenter/node/service_id``, each part percent-encoded."""
        return encoded_path(self)

    @classmethod
    def parse(cls, id: str) -> Self:
        """The identity with this `id`.

        :raises ValueError: it is no id of an instance.
        """
        try:
            return cls(*decoded_path(id))
        except (TypeError, UnicodeDecodeError):
            raise ValueError(
                f"{fit(id)!r} must be DATACENTER/NODE/SERVICE-ID, percent-encoded"
            ) from None


@frozen
class Health:
    """The status of an instance's checks, and the reason that the worst one gives."""

    status: Status = "passing"
    reason: str = ""

    def worst(self, other: "Health") -> "Health":
        """The worse of the two; `self` if they are equal."""
        return max(self, other, key=lambda health: STATUSES.index(health.status))


@frozen
class Instance:
    """One registration of a service.

    `host` is the IP address or host name that Consul has; `address` is the IP address
    to connect to, empty until the host name is resolved.  For a UNIX socket both are
    its path.
    """

    identity: Identity
    host: str
    port: int
    address: str = ""
    tags: tuple[str, ...] = ()
    #: The metadata of its service, sorted by keys.
    meta: tuple[tuple[str, str], ...] = ()
    #: Consul's Weights.Passing and Weights.Warning.
    passing_weight: int = 1
    warning_weight: int = 1
    #: ``lbconsul-weight``, which replaces both.
    own_weight: int | None = None
    #: Service-level checks, and either kind of maintenance.
    health: Health = Health()
    #: Node-level checks.
    node_health: Health = Health()
    #: The other addresses of its host name, tried after `address` fails.
    alternates: tuple[str, ...] = ()
    #: Consul's CreateIndex, which changes when it registers again; 0: unknown.
    created: int = 0
    #: Why it never gets connections, whatever its checks say; empty for most.
    skipped: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses to connect to; none until the host name is resolved."""
        return (self.address, *self.alternates) if self.address else ()

    @property
    def location(self) -> tuple[str, int]:
        """The address and port to connect to."""
        return self.address, self.port

    @property
    def place(self) -> str:
        """Host and port, or path, as text: ``10.0.0.1:80``, ``unix:/run/web.sock``."""
        if self.address.startswith("/"):
            return f"unix:{self.address}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def is_at(self, address: str, port: int) -> bool:
        """Whether connections to it may go to this address and port."""
        return port == self.port and address in self.addresses

    def is_registration(self, created: int) -> bool:
        """Whether it may have this CreateIndex; an unknown one (0) matches any."""
        return not created or not self.created or created == self.created

    def preferring(self, address: str) -> "Instance":
        """A copy whose first address is this one of its addresses.

        The others follow in cyclic order.
        """
        all = self.addresses
        number = all.index(address)
        first, *others = all[number:] + all[:number]
        return evolve(self, address=first, alternates=tuple(others))

    @cached_property
    def text(self) -> str:
        """Its identity and place as two words of a log line."""
        words = f"{self.identity.service_id}@{self.identity.node}", self.place
        # A registration may contain anything.
        return " ".join(_as_word(each) for each in words)

    def __str__(self) -> str:
        return self.text


def _as_word(text: str) -> str:
    return printable(text[:_WORD].replace(" ", "?"))
