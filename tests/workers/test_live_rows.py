"""Rows that come and go, for workers that have none yet."""

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.proxy.live_routes import Present, RowChanges
from lbconsul.workers.live_rows import LiveRows

LISTEN = TCPListen("127.0.0.1", 80)


def row(name: str) -> Mapping:
    """A row of this service."""
    return Mapping(name, LISTEN, route=f"/{name} {name}")


def test_all_in_parts() -> None:
    """A new worker gets all rows, then all routes, then what there is and no more."""
    rows, live = [row(f"s{each}") for each in range(250)], LiveRows()
    routes = tuple((each.service, ((each.route, 1.0),)) for each in rows)
    live.apply(RowChanges(LISTEN, put=tuple(rows), routes=routes))
    gone = live.apply(
        RowChanges(
            LISTEN,
            drop=(rows[0].route, "unknown"),
            routes=(("s0", None),),
            is_complete=True,
        )
    )
    assert gone == [rows[0].route]
    numbers = {"": 7, **{each.route: at for at, each in enumerate(rows)}}
    parts = list(live.parts(LISTEN, numbers))
    assert {each.number for each in parts} == {7}
    assert [each for part in parts for each in part.changes.put] == rows[1:]
    assert [key for part in parts for key, _ in part.changes.routes] == [
        each.service for each in rows[1:]
    ]
    last = parts[-1].changes
    assert last.is_complete and isinstance(last.present, Present)
    assert last.present.rows == {each.route for each in rows[1:]}
    assert parts[0].numbers[rows[1].route] == 1
