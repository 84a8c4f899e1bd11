"""Consul answers, and knows or shows nothing."""

import time
from typing import Any

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene, Usual
from chaos.traffic import between, require_faultless
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.load import Outcome
from tests.support.waiting import eventually

#: So long what is missing from a suddenly short answer goes on being used.
HOLD = "30s"

#: For so many seconds all have to get new connections at last.  Two of the clients that
#: keep theirs share an instance: by least connections it gets new ones only while both
#: others are busy, a few in a second, or none.
IN_THE_END = 5.0

#: The token of the operator.
MASTER = "3c8ae2a1-52a7-4d3c-8f10-4c0f3e6f2d11"

#: Rules of the gateway's token: as they should be, and after an operator's mistake.
OPEN = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
CLOSED = 'key_prefix "x" { policy = "read" }'


def play_forgotten(scene: Scene) -> None:
    """Kill an agent without a state file, restart it, and register again."""
    usual = scene.usual(f"--shrink-hold={HOLD}")
    with scene.traffic(usual.port) as traffic:
        time.sleep(1.0)
        usual.agent.restart()
        status, _, said = usual.agent.api("GET", f"/v1/health/service/{SERVICE}")
        scene.report.require("Consul forgot", (status, said) == (200, []))
        usual.gateway.wait_for(rf"{SERVICE}: Consul answers again")
        emptied = time.monotonic()
        time.sleep(scene.either(10.0, 4.0))
        refilled = time.monotonic()
        for each in usual.servers:
            usual.registrar.add(SERVICE, each)
        time.sleep(IN_THE_END + 1.0)
        outcome = traffic.stop()
    judge(scene, usual.gateway, outcome, (emptied, refilled))


def play_hidden(scene: Scene) -> None:
    """Take the gateway's token its rights, and give them back."""
    agent = scene.consul(extra_config={"acl": acl()})
    eventually(lambda: may(agent, OPEN) == 200, "ACLs work")
    token = make_token(agent)
    usual = scene.usual(f"--token={token}", f"--shrink-hold={HOLD}", agent=agent)
    with scene.traffic(usual.port) as traffic:
        time.sleep(1.0)
        may(agent, CLOSED)
        eventually(lambda: shown(usual, token) == 0, "Consul hides all")
        # A policy is no news to a question that waits; a registration is.
        change(usual, "hidden")
        hidden = time.monotonic()
        time.sleep(scene.either(10.0, 4.0))
        again = time.monotonic()
        may(agent, OPEN)
        eventually(lambda: shown(usual, token) == len(NAMES), "Consul hides nothing")
        change(usual, "shown")
        time.sleep(IN_THE_END + 1.0)
        outcome = traffic.stop()
    judge(scene, usual.gateway, outcome, (hidden, again))


def judge(
    scene: Scene, gateway: Gateway, outcome: Outcome, empty: tuple[float, float]
) -> None:
    """Clients may notice nothing; the gateway's operator must."""
    require_faultless(scene.report, outcome)
    last = outcome[-1].begun - IN_THE_END
    for when, part in (
        ("meanwhile", between(outcome, *empty)),
        ("in the end", outcome.begun_after(last)),
    ):
        # New connections: who keeps one would not notice.
        served = {each.server for each in part if each.fresh}
        right = served == set(NAMES)
        scene.report.require(f"all serve {when}", right, str(sorted(served)))
    warned = gateway.find(rf" warn {SERVICE}: (?!no answer)")
    scene.report.require("log warns", bool(warned))


def change(usual: Usual, note: str) -> None:
    """Alter all registrations, but for nothing that matters."""
    for each in usual.servers:
        usual.registrar.add(SERVICE, each, Meta={"note": note})


def acl() -> dict[str, Any]:
    """Nothing is allowed, but to who has a token for it."""
    tokens = {"master": MASTER, "agent": MASTER}
    return {"enabled": True, "default_policy": "deny", "tokens": tokens}


def may(agent: ConsulAgent, rules: str) -> int:
    """What the gateway's policy allows from now on; the status of Consul's answer."""
    status, _, policies = agent.api("GET", "/v1/acl/policies")
    if status != 200:
        return status
    made = [each["ID"] for each in policies if each["Name"] == "gateway"]
    path = f"/v1/acl/policy/{made[0]}" if made else "/v1/acl/policy"
    body = {"Name": "gateway", "Rules": rules}
    return agent.api("PUT", path, body | ({"ID": made[0]} if made else {}))[0]


def make_token(agent: ConsulAgent) -> str:
    """A token with the gateway's policy."""
    body = {"Policies": [{"Name": "gateway"}]}
    status, _, said = agent.api("PUT", "/v1/acl/token", body)
    assert status == 200, said
    return str(said["SecretID"])


def shown(usual: Usual, token: str) -> int:
    """How many instances Consul shows to the gateway."""
    path = f"/v1/health/service/{SERVICE}?stale"
    headers = {"X-Consul-Token": token}
    status, _, said = usual.agent.api("GET", path, headers=headers)
    assert status == 200, said
    return len(said)


ROWS = (
    Row(
        "forgotten",
        "the Consul agent comes back with an empty state, and instances register again",
        play_forgotten,
    ),
    Row(
        "hidden",
        "the gateway's token loses its rights, so that Consul says 200 [], and back",
        play_hidden,
    ),
)
