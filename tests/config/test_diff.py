"""What another configuration alters."""

from attrs import evolve

from lbconsul.config.build import configure
from lbconsul.config.consul import ConsulConfig
from lbconsul.config.diff import Plan, applicable, planning
from lbconsul.config.listen import TCPListen, UnixListen
from lbconsul.config.model import Config, Mapping
from lbconsul.steps import finish

A, B, C = (Mapping("web", TCPListen("0.0.0.0", port)) for port in (80, 81, 82))
UNIX = Mapping("web", UnixListen("/run/web.sock"))


def plan(old: list[Mapping], new: list[Mapping], *, renew: bool = False) -> Plan:
    """The plan that leads from some mappings to others."""
    return finish(planning(old, new, renew=renew))


def test_another_order_is_no_change() -> None:
    """The same mappings in another order are no change."""
    assert plan([A, B], [B, A]) == Plan(unchanged=(B, A))
    assert str(plan([A], [A])) == "0 added, 0 altered, 0 removed, 1 unchanged"


def test_all_kinds() -> None:
    """Where a mapping listens tells which it is, whatever else is said of it."""
    altered = evolve(B, service="mail", policy="p2c")
    made = plan([A, B, UNIX], [C, altered, UNIX])
    assert made == Plan((C,), (altered,), (A,), (UNIX,))
    assert str(made) == (
        "1 added (82:web), 1 altered (81:mail), 1 removed (80:web), 1 unchanged"
    )


def test_anew() -> None:
    """Something that concerns all mappings alters those that stay."""
    assert plan([A, B], [B, C], renew=True) == Plan((C,), (B,), (A,))


def test_many_mappings_are_counted() -> None:
    """Of many mappings only the number is shown."""
    many = [Mapping("web", TCPListen("0.0.0.0", port)) for port in range(1, 7)]
    assert str(plan([], many)) == "6 added, 0 altered, 0 removed, 0 unchanged"
    assert "(1:web, 2:web, 3:web, 4:web, 5:web)" in str(plan([], many[:5]))


def test_what_needs_a_restart() -> None:
    """What a gateway has from its start on stays, and is named; the rest is new."""
    running = Config(ConsulConfig(), (A,), workers=2)
    wanted = evolve(running, workers=3, takeover="/t", mappings=(B,), shutdown_grace=1)
    config, refused = applicable(running, wanted)
    assert config == evolve(running, mappings=(B,), shutdown_grace=1)
    assert refused == ["--workers", "--takeover"]
    assert applicable(running, running) == (running, [])


def test_dev() -> None:
    """The catalog of --dev stays where it is."""
    running = Config(ConsulConfig(), (A,), dev=True)
    elsewhere = ConsulConfig(namespace="x")
    config, refused = applicable(running, evolve(running, consul=elsewhere))
    assert (config, refused) == (running, ["--consul"])
    config, refused = applicable(running, evolve(running, consul=elsewhere, dev=False))
    assert (config, refused) == (running, ["--dev"])


def test_admin_side() -> None:
    """The admin address and the log's options are fixed from the start."""
    running = configure(mappings=["80:web"])
    wanted = configure(
        mappings=["80:web"],
        admin="9300",
        admin_token_file="/token",
        admin_open_read="on",
        log_format="json",
        log_file="/log",
        log_file_size="off",
        log_file_keep="1",
    )
    kept, refused = applicable(running, wanted)
    assert kept == running
    assert refused == [
        "--admin", "--admin-token-file", "--admin-open-read", "--log-format",
        "--log-file", "--log-file-size", "--log-file-keep",
    ]  # fmt: skip


def test_admin_token() -> None:
    """So is the token for orders."""
    running = configure(mappings=["80:web"], admin_token="old")
    wanted = configure(mappings=["80:web"], admin_token="new")
    assert applicable(running, wanted) == (running, ["--admin-token"])
    wanted = configure(
        mappings=["80:web"], admin_token="old", admin_read_token_file="/reads"
    )
    assert applicable(running, wanted) == (running, ["--admin-read-token-file"])


def test_routes() -> None:
    """
    A route is told by the clients that it takes: one that is added, altered or removed
    leaves its mapping and the other routes unchanged.
    """
    a, b, c = (evolve(A, route=f"{name}.com", service=name) for name in "abc")
    mapping = evolve(A, service="")
    moved = evolve(b, service="new")
    made = plan([evolve(mapping, routes=(a, b))], [evolve(mapping, routes=(moved, c))])
    assert made == Plan((c,), (moved,), (a,), (mapping,))
    assert str(made) == (
        "1 added (80:c.com=c), 1 altered (80:b.com=new), 1 removed (80:a.com=a),"
        " 1 unchanged"
    )
