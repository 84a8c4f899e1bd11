"""Which rows there are, and which are played."""

import sys
from pathlib import Path

import pytest

from chaos import isolation, missing
from chaos.__main__ import chosen, parse
from chaos.missing import lacking
from chaos.playing import Form
from chaos.row import Row
from chaos.rows.all import ROWS
from chaos.rows.reloaded import is_taken_over
from chaos.scene import Scene
from tests.support.gateway import Gateway


def nothing(scene: Scene) -> None:
    """A row that does nothing."""


def test_rows_are_called_what_can_be_typed() -> None:
    """In lower case, with hyphens."""
    assert all(name.replace("-", "").isalnum() for name in ROWS)
    assert all(name == name.lower() == row.name for name, row in ROWS.items())


def test_only_some_rows() -> None:
    """Selected rows are played in the order of the suite."""
    told = parse(["--quick", "--only", "silence", "agent-killed"])
    assert told.quick
    assert [each.name for each in chosen(told.only)] == ["agent-killed", "silence"]
    assert chosen(None) == list(ROWS.values())


def test_quick_rows() -> None:
    """The quick form leaves some rows out, unless they are named."""
    left_out = {row.name for row in ROWS.values() if row.only_full}
    assert left_out == ROWS.keys() - {row.name for row in chosen(None, quick=True)}
    assert "deaf-clients-tls" not in left_out
    assert chosen(["reloaded-tls"], quick=True) == [ROWS["reloaded-tls"]]


def test_rows_that_are_played_by_themselves_are_whole() -> None:
    """Results are of the full form, and of rows that were named."""
    assert parse(["--only", "silence", "--update"]).update
    for wrong in (["--update"], ["--quick", "--only", "silence", "--update"]):
        with pytest.raises(SystemExit):
            parse(wrong)


def test_a_row_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the rows."""
    with pytest.raises(SystemExit):
        parse(["--only", "nonsense"])
    assert "agent-killed" in capsys.readouterr().err


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to get it; a row that needs less is not concerned."""
    monkeypatch.setattr("shutil.which", lambda name: name != "nft" or None)
    monkeypatch.setattr(missing, "find_consul", lambda: "consul")
    monkeypatch.setattr(isolation, "obstacle", lambda: "")
    monkeypatch.setattr(isolation, "raise_limit", lambda: 5000)
    assert lacking(Row("a", "b", nothing)) == ""
    assert lacking(Row("a", "b", nothing, needs=("nft",))) == (
        "nft is missing: apt-get install nftables"
    )
    assert lacking(Row("a", "b", nothing, descriptors=9000)) == (
        "9000 descriptors are needed, and 5000 to be had"
    )
    monkeypatch.setattr(isolation, "obstacle", lambda: "not permitted")
    monkeypatch.setattr(missing, "find_consul", lambda: None)
    assert lacking(Row("a", "b", nothing)) == (
        "Consul is missing: make consul, or set CONSUL to a binary;"
        " no namespaces are to be had: not permitted"
    )


def test_how_long_a_row_may_take() -> None:
    """The soak lasts as long as its option says."""
    row = Row("a", "b", nothing, limit=100.0)
    assert Form().limit(row) == 160.0
    assert Form(minutes=2).limit(row) == 180.0


def test_what_the_process_of_a_row_is_told() -> None:
    """The form of the run."""
    assert Form().arguments() == []
    assert Form(quick=True, minutes=2.0).arguments() == ["--quick", "--minutes=2.0"]


@pytest.mark.process
def test_a_takeover_that_lasts_is_waited_for(tmp_path: Path) -> None:
    """A gateway counts as taken over once its log says so, which may be after its
    successor is ready.
    """
    said = "import time; time.sleep(0.3); print('another gateway has taken over')"
    gateway = Gateway(tmp_path, twistd=[sys.executable, "-c", said])
    gateway.start()
    assert not gateway.find("taken over")
    assert is_taken_over(gateway)
    assert gateway.status() == 0


@pytest.mark.process
def test_a_gateway_that_is_not_taken_over(tmp_path: Path) -> None:
    """A gateway that ends without a word of a takeover is none that was taken over."""
    gateway = Gateway(tmp_path, twistd=[sys.executable, "-c", "print('stopped')"])
    gateway.start()
    assert not is_taken_over(gateway)
    assert gateway.status() == 0
