"""The node that the dev catalog runs on, as its agent describes it."""

from lbconsul.dev.records import Check, Node, Service

ADDRESS = "127.0.0.1"
NODE = Node(
    "dev",
    ADDRESS,
    "3a266e4e-0000-4000-8000-09b794238739",
    dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), ADDRESS),
    {"consul-network-segment": ""},
)
ALIVE = Check(
    node=NODE.name,
    id="serfHealth",
    name="Serf Health Status",
    status="passing",
    output="Agent alive and reachable",
)
#: Consul's servers list themselves; nothing listens on this port here.
CONSUL = Service(NODE.name, "consul", "consul", port=8300)
