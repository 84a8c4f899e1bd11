"""The options of a mapping."""

from collections import defaultdict
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import evolve

from lbconsul.config import address_values, values
from lbconsul.config.affinity_options import HASH_OPTIONS, STICKY_OPTIONS
from lbconsul.config.check_options import CHECK_OPTIONS
from lbconsul.config.http_options import HTTP_OPTIONS
from lbconsul.config.latency import slow_rule
from lbconsul.config.limit_options import LIMIT_OPTIONS
from lbconsul.config.model import Mapping
from lbconsul.config.option import Option, table
from lbconsul.config.register_options import REGISTER_OPTIONS
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.config.split_options import SPLIT_OPTIONS
from lbconsul.config.tag_options import TAG_OPTIONS
from lbconsul.config.tls_options import TLS_OPTIONS

#: The policies' names; `lbconsul.balance.policy` has a class for each.
POLICIES = ("hash", "leastconn", "p2c", "random", "roundrobin")

#: How a mapping treats its clients' bytes.
MODES = ("http", "sni", "tcp")

#: Options of a mapping; set for the gateway, they are the defaults of all mappings.
MAPPING_OPTIONS = table(
    Option("tag", values.printable, "only instances that carry this tag"),
    *SPLIT_OPTIONS,
    Option(
        "filter",
        values.printable,
        "only instances that Consul's filter expression keeps",
    ),
    Option(
        "dc",
        values.datacenters,
        "the datacenter to query; of dc1|dc2, the first with a usable instance is used"
        " [the agent's own]",
    ),
    Option(
        "failback-after",
        values.duration,
        "how long an earlier datacenter of dc must have had a usable instance before it"
        " is used again [30s]",
    ),
    Option(
        "port-name", values.name, "name of the port to use, of instances with several"
    ),
    Option(
        "tagged-address",
        values.name,
        "which of an instance's tagged addresses in Consul to use, such as wan or"
        " lan_ipv6",
    ),
    Option("near", values.name, "let Consul sort by distance from this node"),
    Option(
        "policy",
        values.OneOfOrCode(POLICIES),
        f"how to choose an upstream: {', '.join(POLICIES)}; or one of your own, as"
        " MODULE:NAME or by its entry point [leastconn]",
    ),
    *HASH_OPTIONS,
    Option(
        "hooks",
        values.hooks,
        "Python of your own that is asked about each client and told of its end, as"
        " MODULE:NAME or by its entry point; several as one|two",
    ),
    Option(
        "health",
        values.health,
        "health statuses that get connections: passing; passing,warning; or any"
        " [passing,warning]",
    ),
    Option(
        "node-checks",
        values.switch,
        "whether the node's checks count too: on or off [on]",
    ),
    Option(
        "connect-timeout",
        values.duration,
        "how long one upstream may take to accept [2s]",
        field="timeouts.connect",
    ),
    Option(
        "attempts",
        values.whole(1, 100),
        "how many upstreams to try for one connection, in each datacenter [3]",
    ),
    Option(
        "eject-after",
        values.whole(0, 1000),
        "eject an upstream after this many consecutive connect failures; 0: never [3]",
        field="ejection.after",
    ),
    Option(
        "eject-base-time",
        values.duration,
        "how long the first ejection lasts; it doubles each time, up to 5m or this"
        " [10s]",
        field="ejection.base_time",
    ),
    Option(
        "eject-on-early-close",
        values.switch,
        "whether a connection that the upstream closes within 1 s without sending a"
        " byte counts as half a failure: on or off [on]",
        field="ejection.on_early_close",
    ),
    Option(
        "eject-latency",
        slow_rule,
        "eject an upstream of whose answers (or connects, in TCP mode) such a share"
        " takes so long, and longer than its peers': p99>2s, or with how many times"
        " longer, and of how many, p99>2s;factor=3;samples=50; or off [off]",
        field="ejection.slow",
    ),
    Option(
        "shrink-guard",
        values.percentage("%"),
        "hold back an answer of Consul that removes more than this share of three"
        " upstreams or more, or all of them: off, or 1% to 99% [50%]",
        field="shrink_guard.percent",
    ),
    Option(
        "shrink-hold",
        values.duration,
        "how long suspect upstreams stay in use where no other is left [30s]",
        field="shrink_guard.hold",
    ),
    Option(
        "when-empty",
        values.when_empty,
        "what becomes of clients when no instance is left: close, wait=TIME,"
        " fallback=SERVICE or fallback=HOST:PORT [close]",
    ),
    Option(
        "slow-start",
        values.duration_or_off,
        "the time in which an instance that joins or returns comes to its full"
        " weight, from a tenth of it [off]",
    ),
    Option(
        "max-connections-per-upstream",
        values.whole(0),
        "open no more connections to one instance; further clients queue; 0: no limit"
        " [0]",
        field="limits.connections_per_upstream",
    ),
    Option(
        "queue-length",
        values.whole(0, 1_000_000),
        "how many clients may queue while every instance is full [1000]",
        field="limits.queue_length",
    ),
    Option(
        "queue-timeout",
        values.duration,
        "how long a client may queue; if not given, as long as connect-timeout",
        field="timeouts.queue",
    ),
    Option(
        "drain-timeout",
        values.duration,
        "how long connections may live on when their instance is deregistered, in"
        " maintenance or of weight 0, and when the gateway shuts down [5m]",
        field="drain.timeout",
    ),
    Option(
        "close-on-critical",
        values.switch,
        "whether connections to an instance that turns critical are closed at once:"
        " on or off [off]",
        field="drain.close_on_critical",
    ),
    Option(
        "max-age",
        values.duration_or_off,
        "close a connection at this age, give or take a tenth [off]",
        field="timeouts.max_age",
    ),
    Option(
        "rebalance",
        values.percentage("%/min"),
        "once an instance has joined or returned, close this share of the connections"
        " of instances with more than their fair share, so that clients reconnect: off,"
        " or 1%/min to 99%/min [off]",
        field="drain.rebalance",
    ),
    Option(
        "idle-timeout",
        values.duration,
        "close a connection on which no byte moved for this long [1h]",
        field="timeouts.idle",
    ),
    Option(
        "half-close-timeout",
        values.duration,
        "close a half-closed connection on which no byte moved for this long [30s]",
        field="timeouts.half_close",
    ),
    Option(
        "max-connections",
        values.whole(0),
        "beyond this many, leave new clients in the kernel's queue; 0: no limit [0]",
        field="limits.connections",
    ),
    Option(
        "max-connections-per-client",
        values.whole(0),
        "serve no more connections at a time to one client (an IPv4 address or an IPv6"
        " /64); 0: no limit [0]",
        field="limits.connections_per_client",
    ),
    Option(
        "allow", address_values.networks, "serve these networks only: 10.0.0.0/8,::1"
    ),
    Option(
        "deny",
        address_values.networks,
        "refuse clients from these networks, whatever allow says",
    ),
    Option(
        "upstream-allow",
        address_values.upstream_networks,
        "connect to instances in these networks only: 10.0.0.0/8,fd00::/8; without it,"
        " to all that Consul names",
    ),
    Option("unix-mode", values.file_mode, "permissions of a UNIX socket [660]"),
    Option(
        "allow-empty",
        values.switch,
        "whether the gateway is ready (/readyz) though the mapping never had a usable"
        " instance: on or off [off]",
    ),
    Option(
        "mode",
        values.mode(MODES),
        "tcp; http: balance each request; or sni: route TLS clients by server name,"
        " without decrypting [tcp]",
    ),
    *LIMIT_OPTIONS,
    *TLS_OPTIONS,
    *HTTP_OPTIONS,
    *REWRITING_OPTIONS,
    *STICKY_OPTIONS,
    *REGISTER_OPTIONS,
    *TAG_OPTIONS,
    *CHECK_OPTIONS,
    Option(
        "accept-proxy",
        address_values.networks,
        "networks whose clients must begin with a PROXY protocol header, v1 or v2:"
        " 10.0.0.0/8,::1",
        field="proxy_protocol.accept",
    ),
    Option(
        "send-proxy",
        values.one_of(("off", "v1", "v2")),
        "send instances a PROXY protocol header with the client's address: v1, v2 or"
        " off [off]",
        field="proxy_protocol.send",
    ),
    Option(
        "first-byte-timeout",
        values.duration_or_off,
        "close a client that sends no byte for this long after it connected [off]",
        field="timeouts.first_byte",
    ),
    Option(
        "wait-for-client",
        values.switch,
        "whether to connect to an instance only once the client has sent a byte: on or"
        " off [off]",
        field="waits_for_client",
    ),
)


#: Options of the listening address: they apply before a client is routed.
LISTEN_OPTIONS = frozenset(
    {
        "max-connections", "unix-mode", "mode", "tls", "tls-min", "client-ca",
        "client-verify", "client-crl", "accept-proxy", "first-byte-timeout",
        "wait-for-client", "head-timeout", "keepalive-timeout", "max-head", "max-uri",
        "trusted-proxies", "client-cert-headers", "hooks",
        *(each.name for each in (*REGISTER_OPTIONS, *TAG_OPTIONS)),
    }
)  # fmt: skip


def with_options(mapping: Mapping, values: AbstractMapping[str, Any]) -> Mapping:
    """The mapping with these values of its options, which have the options' names."""
    fields = dict[str, Any]()
    groups = defaultdict[str, dict[str, Any]](dict)
    for option, value in values.items():
        group, _, name = MAPPING_OPTIONS[option].attribute.rpartition(".")
        (groups[group] if group else fields)[name] = value
    for group, inner in groups.items():
        fields[group] = evolve(getattr(mapping, group), **inner)
    return evolve(mapping, **fields)
