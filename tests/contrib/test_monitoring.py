"""contrib/prometheus and contrib/grafana, with a real Prometheus and real gateways."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.registrar import Registrar
from tests.support.binaries import REPOSITORY
from tests.support.certificates import Authority, together
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.load import Load
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.prometheus import Prometheus
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer

CONTRIB = REPOSITORY / "contrib"
ALERTS = CONTRIB / "prometheus" / "alerts.yaml"
DASHBOARD = json.loads((CONTRIB / "grafana" / "lbconsul.json").read_text())

#: The alerts of instances that pass in Consul and take no connection, and of those that
#: are gone.
FAILING = ("LbconsulManyEjected", "LbconsulConnectionsFail", "LbconsulRequestsFail")
GONE = "LbconsulNoUpstream"

#: What Prometheus has of its own.
OF_PROMETHEUS = {"up"}

#: Series that a gateway to which nothing has happened does not have.
LATER = {"lbconsul_requests_refused_total"}


def test_rules() -> None:
    """promtool finds the alerts right, and each does what its test says."""
    promtool = needed("promtool", "prometheus")
    for command in (
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ):
        ran = subprocess.run(
            [promtool, *command],
            cwd=ALERTS.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_has_a_test() -> None:
    """No alert is untested, and each says what to do."""
    text = ALERTS.read_text()
    names = re.findall(r"- alert: (\w+)", text)
    tested = (ALERTS.parent / "alerts.test.yaml").read_text()
    assert [each for each in names if each not in tested] == []
    for key in ("summary", "action"):
        assert len(re.findall(rf"^ +{key}: ", text, re.MULTILINE)) == len(names)


class Watched:
    """A gateway with all that it can show, under load, and Prometheus beside it."""

    def __init__(self, home: Path, consul: ConsulAgent, held: ExitStack) -> None:
        registrar = self.registrar = Registrar(consul)
        held.callback(registrar.clean_up)
        self.servers = [held.enter_context(WebServer(name)) for name in ("uma", "vic")]
        for each in self.servers:
            each.wait_until_listening()
            registrar.add("watched", each)
        pair = Authority(home).issue("localhost")
        whole = together(home / "pair.pem", pair.cert, pair.key)
        plain, http, tls, admin = free_ports(4)
        self.gateway = held.enter_context(
            Gateway(
                home,
                *("--consul", f"127.0.0.1:{consul.port}", "--workers", "2"),
                *(
                    "--map",
                    f"{plain}:watched,register=watched-lb",
                    "--map",
                    f"{http}:watched,mode=http",
                ),
                *("--map", f"{tls}:watched,tls={whole}"),
                *("--admin", f"127.0.0.1:{admin}"),
            )
        )
        for port in (plain, http):
            held.enter_context(Load(port, 2, 0.05))
        self.admin = f"127.0.0.1:{admin}"
        rules = home / "alerts.yaml"
        rules.write_text(self.soon(ALERTS.read_text()))
        self.prometheus = held.enter_context(
            Prometheus(home / "prometheus", self.admin, rules=rules)
        )

    @staticmethod
    def soon(rules: str) -> str:
        """Let those that are expected not wait, unless the whole transcript is wanted.

        All others wait: a busy machine does lag, or does not answer, for seconds.
        """
        if os.environ.get("LBCONSUL_TRANSCRIPTS"):
            return rules
        for each in (*FAILING, GONE):
            rules, count = re.subn(
                rf"(: {each}\n(?: .*\n)*? +for:) .*", r"\1 2s", rules
            )
            assert count == 1
        return rules

    def exported(self) -> set[str]:
        """The names of all series that the gateway has."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics") as answer:
            text = answer.read().decode()
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE))
        parts = [
            f"{name}_bucket" for name, kind in types.items() if kind == "histogram"
        ]
        return {*types, *parts}


@pytest.fixture(scope="module")
def watched(
    consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """One for all tests of this file, of which the last one breaks it."""
    with ExitStack() as held:
        yield Watched(tmp_path_factory.mktemp("watched"), consul, held)


def _names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:lbconsul|process)_\w+|\bup\b", expression))


def test_names_in_alerts(watched: Watched) -> None:
    """An alert on a series that no gateway has would never fire."""
    groups = watched.prometheus.get("rules")["groups"]
    used = {name for rule in groups[0]["rules"] for name in _names(rule["query"])}
    assert len(used) > 15
    assert used - watched.exported() - OF_PROMETHEUS == set()


def _panels() -> list[dict[str, Any]]:
    return [each for each in DASHBOARD["panels"] if each["type"] != "row"]


def _queries() -> list[tuple[str, str]]:
    annotations = [
        ("annotation", each["expr"]) for each in DASHBOARD["annotations"]["list"]
    ]
    return annotations + [
        (panel["title"], target["expr"])
        for panel in _panels()
        for target in panel["targets"]
    ]


def _filled_in(expression: str) -> str:
    """A query as Grafana sends it, with all gateways and mappings chosen."""
    text = expression.replace("$__rate_interval", "10s")
    return re.sub(r"\$(job|instance|mapping)\b", ".*", text)


def test_dashboard(watched: Watched) -> None:
    """Each query of the dashboard is of series that gateways have, and has a result."""
    exported, prometheus = watched.exported(), watched.prometheus

    def empty() -> list[tuple[str, str]]:
        return [
            (title, query)
            for title, query in _queries()
            if not _names(query) & LATER
            and "> 0" not in query
            and not prometheus.query(_filled_in(query))
        ]

    for title, query in _queries():
        assert _names(query) - exported - OF_PROMETHEUS == set(), title
        assert "$" not in _filled_in(query), title
        prometheus.query(_filled_in(query))
    eventually(lambda: not empty(), f"results for {empty()}")


def test_variables_of_the_dashboard(watched: Watched) -> None:
    """What the dashboard can be narrowed to are labels that the series have."""
    for variable in DASHBOARD["templating"]["list"][1:]:
        series, label = re.fullmatch(
            r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["definition"]
        ).groups()  # type: ignore[union-attr]
        assert label == variable["name"]
        assert all(each["metric"][label] for each in watched.prometheus.query(series))


def test_layout_of_the_dashboard() -> None:
    """It has six rows, and no panel lies on another or outside."""
    rows = [each["title"] for each in DASHBOARD["panels"] if each["type"] == "row"]
    assert rows == ["Health", "Traffic", "Outcome", "Latency", "Upstreams", "Process"]
    ids = [each["id"] for each in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [each["gridPos"] for each in DASHBOARD["panels"]]
    assert all(each["x"] + each["w"] <= 24 for each in places)
    for one, other in combinations(places, 2):
        beside = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        )
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_alerts_fire(watched: Watched) -> None:
    """Instances that pass in Consul and take no connection raise the alarm, and so do
    instances that are gone; nothing does so before.
    """
    prometheus = watched.prometheus
    eventually(lambda: prometheus.query("lbconsul_ready == 1"), "a scrape")
    assert prometheus.firing() == {}
    for each in watched.servers:
        each.kill()
    patience = 400 if os.environ.get("LBCONSUL_TRANSCRIPTS") else 3 * PATIENCE

    def fire(*names: str) -> None:
        # Not all at once: probes let an upstream in for a moment.
        eventually(lambda: {*names} <= prometheus.fired(), str(names), patience)

    # The last upstream may stay, as ejecting it would help no client.
    fire(*FAILING)
    watched.registrar.clean_up()
    fire(GONE)
    keep(prometheus)


def keep(prometheus: Prometheus) -> None:
    """Keep what fires, where LBCONSUL_TRANSCRIPTS names a folder."""
    if folder := os.environ.get("LBCONSUL_TRANSCRIPTS"):
        text = json.dumps(prometheus.get("alerts")["alerts"], indent=1)
        Path(folder, "alerts-firing.json").write_text(text + "\n")
