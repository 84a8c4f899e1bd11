"""Registrations of the gateway in Consul, as its agent is told and shows them.  Pure.

https://developer.hashicorp.com/consul/api-docs/agent/service
"""

import json
from typing import Any

from attrs import frozen

from lbconsul.config.listen import ANY_HOST
from lbconsul.config.model import Mapping
from lbconsul.config.register_values import BALANCES, GATEWAY, split_address
from lbconsul.errors import UnusableAnswer
from lbconsul.text import clipped, decimal

#: The longest value of metadata (agent/structs, ``ValidateServiceMetadata``).
_LONGEST_VALUE = 512

#: The most characters of a report's text.
_LONGEST_REPORT = 512


@frozen
class Found:
    """A service as the agent shows it."""

    name: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: tuple[tuple[str, str], ...]

    @property
    def gateway(self) -> str:
        """The gateway that keeps it; empty if no gateway does."""
        return dict(self.meta).get(GATEWAY, "")


@frozen
class Registration:
    """One mapping's address, registered as an instance of a service."""

    id: str
    name: str
    #: Empty: the agent's.
    address: str
    port: int
    tags: tuple[str, ...]
    meta: tuple[tuple[str, str], ...]
    ttl: float
    remove_after: float
    mapping: str

    @property
    def check(self) -> str:
        """The id of its check."""
        return f"service:{self.id}"

    @property
    def place(self) -> str:
        """Where clients are sent, as text."""
        if not self.address:
            return f"port {self.port} of the agent's address"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def request(self, gateway: str, *, is_ready: bool) -> bytes:
        """The body of its registration by this gateway.

        A check that the agent has already keeps its status.
        """
        body: dict[str, object] = {
            "ID": self.id,
            "Name": self.name,
            "Tags": list(self.tags),
            "Meta": dict(self._meta_of(gateway)),
            "Port": self.port,
            "EnableTagOverride": False,
            "Check": {
                "CheckID": self.check,
                "Name": "the gateway is ready",
                "TTL": f"{decimal(self.ttl)}s",
                "Status": "passing" if is_ready else "critical",
                "DeregisterCriticalServiceAfter": f"{decimal(self.remove_after)}s",
            },
        }
        if self.address:
            body["Address"] = self.address
        return json.dumps(body).encode()

    def is_like(self, found: Found, gateway: str) -> bool:
        """Whether the agent has it as this gateway would register it."""
        return found == Found(
            self.name, self.address, self.port, self.tags, self._meta_of(gateway)
        )

    def _meta_of(self, gateway: str) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((*self.meta, (GATEWAY, gateway))))


def report(why_not: str) -> bytes:
    """The body of a report: `why_not` the gateway is ready, empty if it is."""
    status = "critical" if why_not else "passing"
    output = clipped(why_not or "ready", _LONGEST_REPORT)
    return json.dumps({"Status": status, "Output": output}).encode()


def parse(body: bytes) -> Found:
    """The service of an answer of ``/v1/agent/service/ID``.

    :raises UnusableAnswer: it is not as Consul documents it.
    """
    try:
        said = json.loads(body)
        return Found(
            _text(said["Service"]),
            _text(said.get("Address") or ""),
            int(said.get("Port") or 0),
            tuple(map(_text, said.get("Tags") or ())),
            _pairs(said.get("Meta") or {}),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UnusableAnswer("the agent's answer is not a service") from None


def _pairs(meta: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, _text(value)) for key, value in meta.items()))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def registration(mapping: Mapping, host: str, port: int) -> Registration:
    """The registration of a mapping that listens at this IP address and port."""
    register = mapping.register
    given, given_port = split_address(register.address) if register.address else ("", 0)
    address = given or ("" if host in ANY_HOST else host)
    port = given_port or port
    words = ("lbconsul", register.name, address, str(port))
    pairs = (each.partition("=") for each in register.meta)
    return Registration(
        id="-".join(filter(None, words)),
        name=register.name,
        address=address,
        port=port,
        tags=register.tags,
        meta=(
            *((key, value) for key, _, value in pairs),
            (BALANCES, _balanced(mapping)),
        ),
        ttl=register.ttl,
        remove_after=register.remove_after,
        mapping=str(mapping),
    )


def _balanced(mapping: Mapping) -> str:
    """The services behind a mapping; the first is its own name, if that is one."""
    names = dict[str, None]()
    for row in mapping.rows:
        names[row.service] = None
        if not row.when_empty.is_address:
            names[row.when_empty.fallback] = None
    own = mapping.register.name
    ordered = sorted(filter(None, names), key=lambda each: each != own)
    return clipped(", ".join(ordered), _LONGEST_VALUE)


def is_circle(service: dict[str, Any]) -> bool:
    """Whether an instance is a gateway that balances the very service it stands for.

    A gateway that balances over it would pass clients on to itself, or to others that
    pass them back.
    """
    balanced = (service.get("Meta") or {}).get(BALANCES)
    return isinstance(balanced, str) and service.get("Service") in balanced.split(", ")
