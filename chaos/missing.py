"""What a row needs and does not find, and how to get it.  Nothing is installed."""

import shutil
from collections.abc import Iterator

from chaos import isolation
from chaos.row import Row
from tests.support.binaries import find_consul

#: Where programs come from, on Debian.
_PACKAGES = {
    "ip": "apt-get install iproute2",
    "mount": "apt-get install mount",
    "node": "apt-get install nodejs",
    "nft": "apt-get install nftables",
    "prlimit": "apt-get install util-linux",
    "unshare": "apt-get install util-linux",
}


def lacking(row: Row) -> str:
    """All that is missing for a row, in words; empty if nothing is."""
    return "; ".join(_missing(row))


def _missing(row: Row) -> Iterator[str]:
    programs = [each for each in ("unshare", "ip", *row.needs) if not _has(each)]
    for each in programs:
        yield f"{each} is missing: {_PACKAGES[each]}"
    if find_consul() is None:
        yield "Consul is missing: make consul, or set CONSUL to a binary"
    if "unshare" not in programs and (why := isolation.obstacle()):
        yield f"no namespaces are to be had: {why}"
    if row.descriptors > (most := isolation.raise_limit()):
        yield f"{row.descriptors} descriptors are needed, and {most} to be had"


def _has(program: str) -> bool:
    return shutil.which(program) is not None
