"""Packets that vanish, by nftables, in the row's own network namespace."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def dropping(*matches: str) -> Iterator[None]:
    """Until the end, whatever matches one of these is dropped without a word.

    They are dropped where they come in: who sends them does not notice.
    """
    _nft("add table inet chaos")
    _nft("add chain inet chaos input { type filter hook input priority 0; }")
    try:
        for match in matches:
            _nft(f"add rule inet chaos input {match} drop")
        yield
    finally:
        _nft("delete table inet chaos")


def host(address: str) -> tuple[str, str]:
    """All packets from and to an address."""
    return f"ip daddr {address}", f"ip saddr {address}"


def connection(ours: int, theirs: int) -> tuple[str, str]:
    """All packets of the connections between two ports."""
    return (
        f"tcp sport {ours} tcp dport {theirs}",
        f"tcp sport {theirs} tcp dport {ours}",
    )


def some(port: int, percent: int) -> tuple[str, str]:
    """So many packets of a hundred, from and to a port."""
    by_chance = f"numgen random mod 100 < {percent}"
    return f"tcp dport {port} {by_chance}", f"tcp sport {port} {by_chance}"


def _nft(command: str) -> None:
    done = subprocess.run(["nft", command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nft {command}: {done.stderr.strip()}")
