"""The families of metrics that have no series per upstream."""

import os
import resource
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import evolve
from prometheus_client.core import Metric

from lbconsul.admin.metric_families import (
    STANDINGS,
    of_gateway,
    of_mappings,
    of_process,
    of_standings,
    of_watches,
)
from lbconsul.admin.status_model import (
    FullStatus,
    Histogram,
    RegistrationStatus,
    SplitStatus,
)
from tests.admin.test_status_model import SCHEMA
from tests.support.fake_source import certificate, fake_source

SOURCE = fake_source(lambda: 1_760_000_000.0, 12)


def _samples(families: Any) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in families:
        assert isinstance(family, Metric)
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_the_gateway() -> None:
    """The gateway's metrics: version, start time and state."""
    found = _samples(of_gateway(SOURCE.gateway()))
    [(about, one)] = found["lbconsul_build_info"]
    assert (about["version"], one) == ("0.1.0", 1)
    assert found["lbconsul_ready"] == [({}, 1)]
    assert found["lbconsul_draining"] == [({}, 0)]
    assert found["lbconsul_reactor_lag_seconds"] == [({}, 0.004)]
    assert found["lbconsul_connections_limit"] == [({}, 30_000)]
    assert [value for _, value in found["lbconsul_full"]] == [0, 0, 0]
    assert found["lbconsul_log_lines_dropped_total"] == [({}, 7)]
    labels = {"extension": "pkg.mod:Own", "kind": "slow"}
    assert found["lbconsul_extension_faults_total"] == [(labels, 3)]
    draining = evolve(SOURCE.gateway(), state="draining", ready=False)
    found = _samples(of_gateway(draining))
    assert found["lbconsul_ready"] == [({}, 0)]
    assert found["lbconsul_draining"] == [({}, 1)]


def test_workers() -> None:
    """Workers are counted, and each tells what it has; without any there is nothing."""
    first, second = SOURCE.gateway().workers
    gateway = evolve(SOURCE.gateway(), workers=(first, evolve(second, serves=False)))
    found = _samples(of_gateway(gateway))
    assert found["lbconsul_workers"] == [({}, 2)]
    assert found["lbconsul_workers_serving"] == [({}, 1)]
    assert found["lbconsul_worker_connections_open"] == [
        ({"worker": "1"}, first.open),
        ({"worker": "2"}, second.open),
    ]
    alone = _samples(of_gateway(evolve(gateway, workers=())))
    assert alone["lbconsul_workers"] == [({}, 0)]
    assert "lbconsul_worker_connections_open" not in alone


def test_limits_that_are_reached() -> None:
    """Of what mappings and processes are full is counted, by the reason."""
    full = (
        FullStatus("max-connections", "80:web", 2),
        FullStatus("max-connections", "81:api"),
        FullStatus("process", "", 1),
    )
    found = _samples(of_gateway(evolve(SOURCE.gateway(), full=full)))
    assert found["lbconsul_full"] == [
        ({"reason": "max-connections"}, 3),
        ({"reason": "process"}, 1),
        ({"reason": "descriptors"}, 0),
    ]


def test_registrations() -> None:
    """Each registration in Consul has one sample, of its state."""
    one = RegistrationStatus(
        id="lbconsul-edge-80", service="edge", mapping="80:web", address="", port=80,
        state="passing",
    )  # fmt: skip
    found = _samples(of_gateway(evolve(SOURCE.gateway(), registrations=(one,))))
    labels = {"service": "edge", "id": "lbconsul-edge-80", "state": "passing"}
    assert found["lbconsul_registration"] == [(labels, 1)]
    assert "lbconsul_registration" not in _samples(of_gateway(SOURCE.gateway()))


def test_watches() -> None:
    """The age of the answer in use; without an answer there is no sample."""
    watch, *_ = SOURCE.watches()
    waiting = evolve(watch, query="api", age=None, failing_since=3.0)
    found = _samples(of_watches([watch, waiting]))
    labels = {"query": "web,dc=dc1", "service": "web", "datacenter": "dc1"}
    assert found["lbconsul_watch_age_seconds"] == [(labels, 1.5)]
    failing = found["lbconsul_watch_failing"]
    assert [value for _, value in failing] == [False, True]
    assert found["lbconsul_watch_errors_total"][0] == (labels, 3)


def test_mappings() -> None:
    """Each mapping's clients, bytes, terminations and times."""
    mapping, *_ = SOURCE.mappings()
    mapping = evolve(
        mapping,
        connect_time=Histogram((0.5, 1.0), (3, 2, 1), 4.5),
        first_byte_time=Histogram((0.5, 1.0), (0, 0, 0), 0.0),
    )
    found = _samples(of_mappings([mapping]))
    labels = {"mapping": "80:web", "service": "web"}
    assert found["lbconsul_connections_accepted_total"] == [(labels, mapping.accepted)]
    assert found["lbconsul_connections_ended_total"] == [
        ({**labels, "termination": termination}, count)
        for termination, count in sorted(mapping.terminations.items())
    ]
    assert found["lbconsul_connect_seconds_bucket"] == [
        ({**labels, "le": "0.5"}, 3),
        ({**labels, "le": "1.0"}, 5),
        ({**labels, "le": "+Inf"}, 6),
    ]
    assert found["lbconsul_connect_seconds_sum"] == [(labels, 4.5)]
    assert found["lbconsul_connect_seconds_count"] == [(labels, 6)]
    assert found["lbconsul_first_byte_seconds_count"] == [(labels, 0)]


def test_standings() -> None:
    """The number of upstreams by standing; a standing that no upstream has is 0."""
    pool = ("80:web", "web", "web,dc=a")
    found = _samples(of_standings({pool: Counter(serving=3, odd=1)}, {pool: True}))
    counts = {
        labels["standing"]: value
        for labels, value in found["lbconsul_pool_upstreams"]
        if labels["query"] == "web,dc=a"
    }
    assert counts == dict.fromkeys(STANDINGS, 0) | {"serving": 3, "odd": 1}
    assert [value for _, value in found["lbconsul_pool_used"]] == [True]


def test_the_standings_there_are() -> None:
    """The standings are those that the status may show."""
    shown = SCHEMA["$defs"]["upstream"]["properties"]["standing"]["enum"]
    assert list(STANDINGS) == shown


def _of_process(proc: Path) -> dict[str, float]:
    return {
        sample.name: sample.value
        for each in of_process(proc)
        for sample in each.samples
    }


def test_this_process(tmp_path: Path) -> None:
    """Time, memory and descriptors, under the names that all programs use."""
    (tmp_path / "statm").write_text("300 200 10 1 0 50 0\n")
    (tmp_path / "fd").write_text("x" * 17)  # so many are open, says its size
    told = _of_process(tmp_path)
    page = resource.getpagesize()
    assert told["process_virtual_memory_bytes"] == 300 * page
    assert told["process_resident_memory_bytes"] == 200 * page
    assert told["process_open_fds"] == 17
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert told["process_max_fds"] == most
    spent = sum(os.times()[:2])
    assert spent - 1 < told["process_cpu_seconds_total"] <= spent


def test_what_the_system_does_not_say(tmp_path: Path) -> None:
    """Older systems do not count descriptors; others have none of it."""
    names = {"process_cpu_seconds_total", "process_max_fds"}
    assert set(_of_process(tmp_path)) == names
    (tmp_path / "statm").write_text("nonsense")
    (tmp_path / "fd").touch()
    assert set(_of_process(tmp_path)) == names
    (tmp_path / "statm").write_text("300 200")
    assert "process_open_fds" not in _of_process(tmp_path)


def test_ourselves() -> None:
    """The metrics of this process have values."""
    told = {each.name: each.samples[0].value for each in of_process()}
    assert told["process_resident_memory_bytes"] > 1 << 20


def test_certificates() -> None:
    """The end of each certificate is told, and whether newer ones cannot be used."""
    first, *others = fake_source(lambda: 0.0, 0).mappings()
    secure = evolve(
        first,
        certificates=(certificate("/a.pem"), certificate("/b.pem", not_after=7.5)),
        certificates_in_use=2,
        certificates_error="/c.pem: no valid certificate",
        passwords_error="line 1: no hash",
        options={"basic-auth": "/htpasswd"},
    )
    found = _samples(of_mappings([secure, *others]))
    labels = {"mapping": first.name, "service": first.service}
    assert found["lbconsul_certificate_expiry_timestamp_seconds"] == [
        ({**labels, "certificate": "/a.pem"}, 1_767_000_000.0),
        ({**labels, "certificate": "/b.pem"}, 7.5),
    ]
    assert found["lbconsul_certificates_failing"] == [(labels, 1)]
    assert found["lbconsul_passwords_failing"] == [(labels, 1)]


def test_splits() -> None:
    """Parts of a split have the share that they are to get, and what they get."""
    mapping, *_ = SOURCE.mappings()
    part = evolve(
        mapping, name="80:web,tag=canary", split=SplitStatus("80:web", "", 0.05, 0.049)
    )
    idle = evolve(part, split=SplitStatus("80:web", "", 0.05))
    found = _samples(of_mappings([mapping, part, idle]))
    labels = {"mapping": "80:web,tag=canary", "service": "web", "of": "80:web"}
    assert found["lbconsul_split_wanted_ratio"] == [(labels, 0.05)] * 2
    assert found["lbconsul_split_got_ratio"] == [(labels, 0.049)]
