"""The options there are: their names, what they mean, how their text is read.

One table serves the command line, the mapping grammar and the TOML file, so
that the three cannot drift apart.
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from lbconsul.config import grammar

#: The policies by name; `lbconsul.balance.policy` has one class for each.
POLICIES = ("leastconn", "p2c", "random", "roundrobin")


@frozen
class Option:
    """One option: `parse` turns its text into the value or raises ValueError."""

    name: str
    parse: Callable[[str], Any]
    help: str

    @property
    def attribute(self) -> str:
        """The name of the field that holds the value."""
        return self.name.replace("-", "_")


def _table(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


def _text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("must not be empty or hold control characters")
    return text


#: What may stand in a mapping, and, as an option of the gateway, is the
#: default of all mappings.
MAPPING_OPTIONS = _table(
    Option("tag", _text, "only instances that carry this tag"),
    Option("filter", _text, "only instances that Consul's filter expression keeps"),
    Option("dc", grammar.name, "the datacenter to ask for [the agent's own]"),
    Option("near", grammar.name, "let Consul sort by distance from this node"),
    Option(
        "policy",
        grammar.one_of(POLICIES),
        f"how to choose: {', '.join(POLICIES)} [leastconn]",
    ),
    Option(
        "health",
        grammar.health,
        "statuses that get connections: passing; passing,warning; or any"
        " [passing,warning]",
    ),
    Option(
        "node-checks",
        grammar.switch,
        "whether checks of the node count: on or off [on]",
    ),
    Option(
        "connect-timeout",
        grammar.duration,
        "how long one upstream may take to accept [2s]",
    ),
    Option(
        "attempts",
        grammar.whole(1, 100),
        "how many upstreams to try for one connection [3]",
    ),
    Option(
        "eject-after",
        grammar.whole(0, 1000),
        "set an upstream aside after so many failed connects in a row; 0: never [3]",
    ),
    Option(
        "eject-time",
        grammar.duration,
        "for how long at first; doubles each time, up to 5m or this [10s]",
    ),
    Option(
        "eject-early",
        grammar.switch,
        "whether connections count, by half, that an upstream ends at once without a"
        " word: on or off [on]",
    ),
    Option(
        "idle-timeout",
        grammar.duration,
        "close a connection on which nothing moved for so long [1h]",
    ),
    Option(
        "half-close-timeout",
        grammar.duration,
        "the same once one side has said all it will [30s]",
    ),
    Option(
        "max-connections",
        grammar.whole(0),
        "leave new clients in the kernel's queue beyond so many; 0: no limit [0]",
    ),
    Option("mode", grammar.file_mode, "permissions of a UNIX socket [660]"),
)

#: How to reach Consul.
CONSUL_OPTIONS = _table(
    Option("token", _text, "ACL token; a file is safer"),
    Option("token-file", _text, "file that holds the ACL token; read again on change"),
    Option("ca-file", _text, "PEM file of the authorities to trust for Consul"),
    Option("client-cert", _text, "PEM file of the certificate to show to Consul"),
    Option("client-key", _text, "PEM file of that certificate's key"),
    Option("verify", grammar.switch, "whether to verify Consul's certificate [on]"),
    Option("namespace", grammar.name, "Consul Enterprise namespace"),
)

#: What concerns the gateway as a whole.
GATEWAY_OPTIONS = _table(
    Option(
        "state-dir",
        _text,
        "directory for Consul's last good answers, for a start while it is away",
    ),
    Option("connection-log", grammar.switch, "one line a connection: on or off [on]"),
    Option(
        "workers",
        grammar.worker_count,
        "processes that serve, or auto: one for each core we may use [1]",
    ),
)

#: Every option that has one value.
OPTIONS = MAPPING_OPTIONS | CONSUL_OPTIONS | GATEWAY_OPTIONS
