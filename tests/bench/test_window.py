"""Open connections are read from the kernel's table."""

from pathlib import Path

from bench.window import established

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0
   2: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0
   3: 0100007F:1F90 0100007F:C002 08 00000000:00000000 00:00000000 00000000     0
   4: 0100007F:1F91 0100007F:C003 01 00000000:00000000 00:00000000 00000000     0
"""


def test_connections_of_a_port(tmp_path: Path) -> None:
    """Only those that the port accepted, and that neither side has closed, count."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TABLE)
    assert established(8080, tmp_path) == 1
