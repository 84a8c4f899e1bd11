"""What each part of a split is to get, and what it has got."""

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.gateway.split_shares import SplitShares, gets, groups
from lbconsul.stats.traffic import MappingTraffic


def rows(share: str, listen: int = 80) -> tuple[Mapping, ...]:
    text = f"{listen}:web,mode=http,split={share}%:tag=canary"
    [mapping] = configure([], [text], [f"{listen}:/a=a"]).mappings
    return mapping.rows


def test_groups() -> None:
    """A row comes with its parts; one without is alone."""
    found = [list(map(str, each)) for each in groups((*rows("5"), *rows("5", 81)))]
    first, second = ([f"{n}:web", f"{n}:web,tag=canary"] for n in (80, 81))
    assert found == [first, ["80:/a=a"], second, ["81:/a=a"]]
    assert list(groups(())) == []


def test_shares() -> None:
    """Shares are told from 0 to 1; with other shares what was got counts anew."""
    shares = SplitShares()
    shares.begin(rows("5"))
    group = rows("5")[:2]
    rest, canary = shares.shares(group, [0, 0])
    assert (rest.of, rest.part, rest.wanted, rest.got) == ("80:web", "", 0.95, None)
    assert (canary.of, canary.part, canary.wanted) == ("80:web", "tag=canary", 0.05)
    _, canary = shares.shares(group, [94, 6])
    assert canary.got == 0.06
    more = rows("50")[:2]
    rest, canary = shares.shares(more, [94, 6])
    assert (canary.wanted, canary.got) == (0.5, None)
    rest, canary = shares.shares(more, [104, 16])
    assert (rest.got, canary.got) == (0.5, 0.5)
    # A worker that died had told of more.
    assert shares.shares(more, [103, 0])[1].got == 0
    shares.keep(rows("50"))
    assert shares.shares(more, [104, 16])[1].got == 0.5
    shares.keep(())
    assert shares.shares(more, [104, 16])[1].got is None


def test_counts() -> None:
    """With HTTP it is requests that are shared, else connections."""
    traffic = MappingTraffic()
    traffic.stats.accepted = 3
    assert gets(traffic) == 3
    traffic.stats.use_http().classes[1] = 7
    assert gets(traffic) == 7
