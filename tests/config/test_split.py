"""Parts of a service's instances, and the shares that they get."""

import pytest

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.config.render import in_words
from lbconsul.config.split import Part, Selection, Share, Sticky, Trait
from lbconsul.config.split_options import COOKIE, split, sticky
from lbconsul.errors import ConfigError

CANARY, V2 = Trait("canary"), Trait(key="version", value="2")


def rows(text: str, *routes: str, **options: str) -> tuple[Mapping, ...]:
    [mapping] = configure([], [text], routes, **options).mappings
    return mapping.rows


def test_traits() -> None:
    """What an instance may have is shown as it is written in an option."""
    traits = (CANARY, V2, Trait("a|b"), Trait("a b"), Trait(key="k", value=""))
    shown = ["tag=canary", "meta=version:2", 'tag="a|b"', 'tag="a b"', 'meta=k:""']
    assert list(map(str, traits)) == shown


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("5%:tag=canary", [Share(5.0, CANARY)]),
        ("0.0001%:meta=version:2", [Share(0.0001, V2)]),
        (
            '99%:service=web-next|0.9%:tag="a,|\\"b"',
            [Share(99.0, service="web-next"), Share(0.9, Trait('a,|"b'))],
        ),
        ('1%:meta=version:"2"', [Share(1.0, V2)]),
        ("1%:meta=a:b:c", [Share(1.0, Trait(key="a", value="b:c"))]),
    ],
)
def test_shares(text: str, shares: list[Share]) -> None:
    """Parts are written with their shares, and shown as they are written."""
    assert split(text) == tuple(shares)
    assert split("|".join(map(str, shares))) == tuple(shares)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be SHARE:tag=TAG"),
        ("5:tag=a", "as in 5%:tag=canary; several with | between them"),
        ("5%:tag=", "must be SHARE:tag=TAG"),
        ("5%:node=a", "must be SHARE:tag=TAG"),
        ("5%:meta=version", "as in 5%:meta=version:2"),
        ("0%:tag=a", "must have a share of more than 0%"),
        ("50%:tag=a|50%:tag=b", "have 100% together, and must leave something"),
        ("1%:tag=a|2%:tag=a", "tag=a is given twice"),
        ('1%:tag="a', "must end with the quote"),
        ("1%:tag=a|", "must be SHARE:tag=TAG"),
    ],
)
def test_wrong_shares(text: str, why: str) -> None:
    """What is wrong is said, and what would be right."""
    with pytest.raises(ValueError, match=why.replace("|", r"\|")):
        split(text)


def test_stickiness() -> None:
    """A client may be kept in its part by its address or a cookie."""
    texts = ["off", "source", "cookie:lbconsul-split", "cookie:C"]
    values = [
        Sticky(),
        Sticky("source"),
        Sticky("cookie", COOKIE),
        Sticky("cookie", "C"),
    ]
    assert [sticky("off"), sticky("source"), sticky("cookie"), sticky("cookie:C")] == (
        values
    )
    assert list(map(str, values)) == texts
    for text in ("", "ip", "source:x", "cookie:", "cookie:a b"):
        with pytest.raises(ValueError, match="must be off"):
            sticky(text)


def test_rows() -> None:
    """Each part is a row with the options of the whole, behind it; an instance that
    several parts would take is in the first one.
    """
    text = "80:web,policy=p2c,split=5%:tag=canary|1%:service=next|0.5%:meta=version:2"
    rest, canary, *_ = found = rows(text)
    assert list(map(str, found)) == [
        "80:web",
        "80:web,tag=canary",
        "80:web,service=next",
        "80:web,meta=version:2",
    ]
    assert len({each.place for each in found}) == 4
    assert {each.policy for each in found} == {"p2c"}
    assert [each.service for each in found] == ["web", "web", "next", "web"]
    others = Selection(lacking=(CANARY, V2))
    assert [each.selection for each in found] == [
        others,
        Selection((CANARY,)),
        None,
        Selection((V2,), (CANARY,)),
    ]
    parts = [each.part for each in found]
    assert [each and each.weight for each in parts] == [93.5, 5.0, 1.0, 0.5]
    assert canary.part == Part(
        "tag=canary", 5.0, parts[0].split if parts[0] else "", "web", others
    )
    assert in_words(rest) == f"{text.replace(',', ' ', 1).split(' ')[0]} split=" + (
        "5%:tag=canary|1%:service=next|0.5%:meta=version:2 policy=p2c"
    )
    assert in_words(canary) == "80:web,tag=canary policy=p2c allow-empty=on"


def test_only_services() -> None:
    """Where all parts are other services, the rest is all of the service."""
    rest, _ = rows("80:web,split=5%:service=next")
    assert rest.selection is None


def test_what_is_decided_before() -> None:
    """A part has no access control of its own, and no limit of the address."""
    limits = "allow=10.0.0.0/8,max-connections=9,max-connections-per-client=2"
    _, canary = rows(f"80:web,split=5%:tag=canary,{limits}")
    assert (canary.allow, canary.deny) == ((), ())
    assert canary.limits == Mapping("web").limits


def test_routes() -> None:
    """A route has a split of its own, and not its mapping's."""
    found = rows(
        "80:web,mode=http,split=5%:tag=canary",
        "80:/a=a",
        "80:/b=b,split=1%:meta=version:2",
    )
    assert list(map(str, found)) == [
        "80:web",
        "80:web,tag=canary",
        "80:/a=a",
        "80:/b=b",
        "80:/b=b,meta=version:2",
    ]


def test_defaults() -> None:
    """As a default it is for mappings that have a service."""
    found = rows("80:-,mode=http", "80:/a=a", split="5%:tag=canary")
    assert list(map(str, found)) == ["80:-", "80:/a=a"]
    assert len(rows("80:web", split="5%:tag=canary")) == 2
    cookie = {"split": "5%:tag=canary", "split_sticky": "cookie"}
    assert rows("80:web", **cookie)[0].split_sticky == Sticky()
    assert rows("80:web,mode=http", **cookie)[0].split_sticky.by == "cookie"
    own = "80:web,mode=http,split=5%:tag=a,split-sticky=cookie"
    assert rows(own)[0].split_sticky.by == "cookie"
    source = "80:web,split=5%:tag=a,split-sticky=source"
    assert rows(source)[0].split_sticky.by == "source"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("80:web,split=5%:service=web", "is the service itself; split it by tag="),
        ("80:web,split-sticky=source", "works only with split="),
        ("80:web,split=5%:tag=a,split-sticky=cookie", "works only with mode=http"),
        (
            "80:web,mode=http,split=5%:tag=a,split-sticky=cookie:x,sticky=cookie:x",
            "must not have the name of sticky='s cookie",
        ),
        (
            "80:web,mode=http,split=5%:tag=a,split-sticky=cookie:__Host-x,cookie-path=/a",
            "browsers keep a cookie __Host-x only with cookie-path=/",
        ),
        ("80:-,mode=http,redirect-https=on,split=5%:tag=a", "needs a service"),
    ],
)
def test_mistakes(text: str, why: str) -> None:
    """What cannot work is an error of the option that is to blame."""
    with pytest.raises(ConfigError, match=why):
        rows(text)
