"""What one route tag says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.rewriting import Redirect
from lbconsul.tags.options import TagOptions
from lbconsul.tags.tag import (
    BadTag,
    RouteKey,
    RouteTag,
    TagRules,
    is_route_tag,
    parse,
)

RULES = TagRules(datacenter="dc1")


def _parse(text: str) -> RouteTag:
    return parse(f"urlprefix-{text}", RULES)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("/foo", RouteKey("", "/foo")),
        ("/", RouteKey("", "/")),
        ("X.Com/Foo", RouteKey("x.com", "/Foo")),
        ("X.com", RouteKey("x.com", "/")),
        ("x.com:8080/", RouteKey("x.com:8080", "/")),
        ("*.x.com/", RouteKey("*.x.com", "/")),
        (":3306 proto=tcp", RouteKey("", "", port=3306)),
        ("$DC.x.com/", RouteKey("dc1.x.com", "/")),
        ("/${DC}/x", RouteKey("", "/dc1/x")),
        ("/c$NOPE", RouteKey("", "/c")),
        ("/c$$d", RouteKey("", "/cd")),
        ("/c$/d", RouteKey("", "/c$/d")),
        ("$DC.com", RouteKey("$dc.com", "/")),
        ("/bad[", RouteKey("", "/bad[")),
        ("/foo boundary=segment", RouteKey("", "/foo", is_bounded=True)),
        ("  /sp  strip=/sp ", RouteKey("", "/sp")),
    ],
)
def test_routes(text: str, key: RouteKey) -> None:
    """The route is a host and a path, or a port."""
    assert _parse(text).key == key


def test_prefix() -> None:
    """A tag is a route tag if it begins with the prefix, blanks aside."""
    other = TagRules(prefix="route-")
    assert is_route_tag(" urlprefix-/x", RULES)
    assert not is_route_tag("Urlprefix-/x", RULES)
    assert not is_route_tag("urlprefix-/x", other)
    assert parse("route-x.com/y", other).key == RouteKey("x.com", "/y")
    assert parse(" urlprefix- /sp  strip=/sp ", RULES) == RouteTag(
        RouteKey("", "/sp"), TagOptions(strip="/sp")
    )


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("strip=/foo", TagOptions(strip="/foo")),
        ("strip=/a strip=/b", TagOptions(strip="/b")),
        ("prepend=/foo", TagOptions(prepend="/foo")),
        ("prepend=foo/", TagOptions(prepend="/foo")),
        ("prepend=/", TagOptions()),
        ("proto=https", TagOptions(proto="https")),
        ("proto=ws", TagOptions(proto="http")),
        (
            "proto=https tlsskipverify=true",
            TagOptions(proto="https", skip_verify=True),
        ),
        ("host=dst", TagOptions(host="address")),
        ("host=o.org:81", TagOptions(host="o.org:81")),
        ("weight=0.2", TagOptions(weight=0.2)),
        ("weight=-1", TagOptions()),
        ("allow=ip:10.1.0.0/8", TagOptions(allow=("10.0.0.0/8",))),
        (
            "deny=IP:192.0.2.1,ip:2001:db8::/32",
            TagOptions(deny=("192.0.2.1/32", "2001:db8::/32")),
        ),
        ("register=public", TagOptions(register="public")),
        (
            "redirect=301,https://g.com/",
            TagOptions(redirect=Redirect(301, "https://g.com/")),
        ),
        (
            "redirect=303,https://g.com/$path",
            TagOptions(redirect=Redirect(303, "https://g.com$path?$query")),
        ),
        (
            "redirect=303,https://$host$path?x=1",
            TagOptions(redirect=Redirect(303, "https://$host$path?x=1")),
        ),
        (
            "redirect=302,https://g.com/$path$path",
            TagOptions(redirect=Redirect(302, "https://g.com$path?$query")),
        ),
    ],
)
def test_options(text: str, options: TagOptions) -> None:
    """Options have blanks between them; the later of two holds."""
    found = _parse(f"/ {text}")
    assert found == RouteTag(RouteKey("", "/"), options)
    assert _parse(f"/ {options}").options == options


def test_option_of_tcp() -> None:
    """A TCP route may send its upstreams a PROXY header."""
    found = _parse(":3306 proto=tcp pxyproto=true")
    assert found.options == TagOptions(proto="tcp", proxy_protocol=True)
    assert not found.odd
    assert str(found.options) == "proto=tcp pxyproto=true"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "urlprefix- must be followed by a route, such as urlprefix-example.com"),
        (":0 proto=tcp", "':0' must be :PORT with a number from 1 to 65535"),
        (":x proto=tcp", "must be :PORT"),
        ("bad[.com/", "neither"),
        ("/../x", "the path /../x leads above the root"),
    ],
)
def test_no_route(text: str, wrong: str) -> None:
    """A tag without a route is an error, and of no route."""
    with pytest.raises(BadTag, match=wrong.replace("[", r"\[")) as caught:
        _parse(text)
    assert caught.value.key is None


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("allow=10.0.0.0/8", "must be ip:NETWORK or ip:ADDRESS"),
        ("allow=", "'' is none"),
        ("allow=ip:10.0.0.0/8,192.0.2.1", "'192.0.2.1' is none"),
        ("deny=ip:fe80::1%eth0", "is none"),
        ("deny=ip:fe80::1234,100.123.0.0/16", "'100.123.0.0/16' is none"),
        ("allow=ip:10.0.0.1 deny=ip:10.0.0.2", "contradict each other: drop deny="),
        ("redirect=200,https://g.com/", "with one of 300, 301, 302, 303, 307, 308"),
        ("redirect=301", "one comma"),
        ("redirect=301,https://g.com/,x", "one comma"),
        ("redirect=301,ftp://g.com/", "must be a URL with http or https"),
        ("redirect=301,https://g.com/$nope", r"has \$nope; known are"),
        ("weight=x", "weight=x must be a number, such as 0.1"),
        ("weight=nan", "must be a number"),
        ("weight=inf", "must be a number"),
        ("host=a/b", "host=a/b must be dst, or a host name"),
        ("host=", "must be dst"),
        ("host=address", "must be dst"),
        ("prepend=/a//b", "prepend=/a//b must be the beginning of a path"),
        ("strip=/" + "x" * 2000, "1024 characters"),
        ("strip=/../x", "strip=/../x leads above the root"),
        ("register=", "must have 1 to 255 characters"),
        ("auth=users", "auth=users is not supported: give the mapping basic-auth=FILE"),
        ("proto=grpc", "needs HTTP/2"),
        ("proto=tcp+sni", "a mapping with mode=sni"),
        ("proto=tcp", "needs :PORT"),
        ("boundary=word", "boundary=word must be segment"),
    ],
)
def test_bad_options(options: str, wrong: str) -> None:
    """An option that cannot be meant closes the route, and says what would be right."""
    with pytest.raises(BadTag, match=wrong) as caught:
        _parse(f"x.com/a {options}")
    assert caught.value.key is not None
    assert caught.value.key.host == "x.com"


def test_port_of_requests() -> None:
    """A port alone is a TCP listener, which says so."""
    with pytest.raises(BadTag, match=r":3306 needs proto=tcp"):
        _parse(":3306")
    with pytest.raises(BadTag, match="4096 characters"):
        _parse("/" + "x" * 5000)


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("/ stripp=/x", "unknown option 'stripp' is ignored; did you mean strip=?"),
        ("/ x", "unknown option 'x' is ignored"),
        ("/ strip=foo", "strip=foo has no effect: paths begin with a slash"),
        ("/ tlsskipverify=1 proto=https", "tlsskipverify= has no effect unless"),
        ("/ tlsskipverify=true", "has no effect without proto=https"),
        ("/ pxyproto=true", "has no effect without proto=tcp"),
        ("/c$NOPE", "unknown variable $NOPE is dropped; there is $DC only"),
    ],
)
def test_odd(text: str, odd: str) -> None:
    """What fabio passes over in silence is told, and has no effect."""
    (found,) = _parse(text).odd
    assert odd in found


def test_globs() -> None:
    """With the glob matcher a path is a pattern, and must be one."""
    rules = TagRules(matcher="glob")
    assert parse("urlprefix-/a/*/{b,c}", rules).key.path == "/a/*/{b,c}"
    assert parse("urlprefix-/a%21", rules).key.path == "/a!"
    with pytest.raises(BadTag, match="neither"):
        parse("urlprefix-/bad[", rules)


@given(st.text() | st.text("urlprefix-/:. =$%{}[]*?,\\\"'#abc"))
def test_any_tag(text: str) -> None:
    """Whatever is in a tag, it is a route or an error in one printable line."""
    try:
        parse(f"urlprefix-{text}", RULES)
    except BadTag as error:
        assert str(error).isprintable()
