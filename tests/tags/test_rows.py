"""A group of targets is a row of its mapping."""

from attrs import evolve

from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.config.build import configure
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping, UpstreamTLS
from lbconsul.config.split import Selection, Trait
from lbconsul.proxy.targets import failover_spec
from lbconsul.tags.model import GroupKey
from lbconsul.tags.options import TagOptions
from lbconsul.tags.rows import row_of, tcp_row_of
from lbconsul.tags.tag import RouteKey

[GIVEN] = configure(
    mappings=[
        "80:-,mode=http,redirect-https=on,allow=10.0.0.0/8,max-connections=9,"
        "strip-prefix=/own,retry-on=503"
    ]
).mappings
MAPPING = evolve(GIVEN, rewriting=evolve(GIVEN.rewriting, redirect_https=False))
KEY = RouteKey("x.com", "/foo")
TAG = Selection((Trait("urlprefix-x.com/foo", is_exact=True),))


def _row(options: TagOptions, key: RouteKey = KEY) -> Mapping:
    return row_of(MAPPING, key, GroupKey("web", options, TAG))


def test_row() -> None:
    """A row has the options of its mapping, and its instances are those of the tag."""
    row = _row(TagOptions())
    assert row.service == "web"
    assert row.selection == TAG
    assert row.route == "x.com/foo web"
    assert str(row) == "80:x.com/foo=web"
    assert str(_row(TagOptions(strip="/a"))) == "80:x.com/foo=web strip=/a"
    assert row.http.retry_on == {"503"}
    assert row.rewriting == MAPPING.rewriting
    assert not row.allow
    assert not row.limits.connections
    assert row.listen == MAPPING.listen


def test_options() -> None:
    """What the tag says holds in place of the mapping's options."""
    row = _row(TagOptions(strip="/foo", prepend="/bar", deny=("192.0.2.0/24",)))
    assert row.rewriting.strip_prefix == "/foo"
    assert row.rewriting.strips_within_segments
    assert row.rewriting.add_prefix == "/bar"
    assert row.deny == ("192.0.2.0/24",)
    bounded = _row(TagOptions(strip="/foo"), KEY._replace(is_bounded=True))
    assert not bounded.rewriting.strips_within_segments
    assert bounded.route == "x.com/foo web strip=/foo boundary=segment"


def test_tls() -> None:
    """Instances get TLS if the tag says so, and their names are verified."""
    assert not _row(TagOptions()).upstream_tls.is_on
    assert _row(TagOptions(proto="https")).upstream_tls == UpstreamTLS(is_on=True)
    named = _row(TagOptions(proto="https", host="api.internal:8443"))
    assert named.upstream_tls.server_name == "api.internal"
    assert named.http.upstream_host == "api.internal:8443"
    own = _row(TagOptions(proto="https", host="address", skip_verify=True))
    assert own.upstream_tls == UpstreamTLS(is_on=True, verify=False)
    secure = evolve(MAPPING, upstream_tls=UpstreamTLS(is_on=True, ca="/ca.pem"))
    group = GroupKey("web", TagOptions(), TAG)
    assert row_of(secure, KEY, group).upstream_tls.is_on
    plain = evolve(group, options=TagOptions(proto="http"))
    assert not row_of(secure, KEY, plain).upstream_tls.is_on


def test_rows_differ() -> None:
    """Whatever tells two groups apart is in the name of the row."""
    group = GroupKey("web", TagOptions(), TAG)
    more = (Trait("blue", is_exact=True),)
    groups = [
        group,
        evolve(group, service="web 2"),
        evolve(group, options=TagOptions(weight=0.5)),
        evolve(group, spelling="urlprefix-X.com/foo"),
        evolve(group, spelling=" urlprefix-X.com/foo"),
        evolve(group, selection=Selection((*TAG.having, *more))),
        evolve(group, selection=Selection(TAG.having, more)),
        evolve(group, selection=Selection(TAG.having, not_at=("10.0.0.1:80",))),
        evolve(group, address="10.0.0.1:80"),
    ]
    names = [row_of(MAPPING, KEY, each).route for each in groups]
    assert len(set(names)) == len(groups)
    assert all(each.isprintable() for each in names)
    assert row_of(MAPPING, RouteKey("", "/a b"), group).route == "/a%20b web"


def test_without_group() -> None:
    """A route without a target has a row without a service, which answers 503."""
    row = row_of(MAPPING, KEY, None)
    assert row.route == "x.com/foo"
    assert str(row) == "80:x.com/foo=-"
    bounded = row_of(MAPPING, KEY._replace(is_bounded=True), None)
    assert str(bounded) == "80:x.com/foo=- boundary=segment"
    assert failover_spec(row) == FailoverSpec(())


def test_address() -> None:
    """A target that a command adds is the only upstream of its row."""
    row = row_of(MAPPING, KEY, GroupKey("m", address="10.0.0.1:8080"))
    spec = failover_spec(row)
    assert not spec.selections
    assert spec.fallback is not None
    assert spec.fallback.query.fixed
    assert spec.fallback.query.service == "10.0.0.1:8080"


def test_tcp() -> None:
    """A TCP route has a listener of its own, and passes bytes on as they are."""
    options = TagOptions(proto="tcp", proxy_protocol=True, allow=("10.0.0.0/8",))
    row = tcp_row_of(MAPPING, RouteKey("", "", port=3306), GroupKey("db", options, TAG))
    assert row.listen == TCPListen("0.0.0.0", 3306)
    assert row.mode == "tcp"
    assert row.proxy_protocol.send == "v1"
    assert row.allow == ("10.0.0.0/8",)
    assert row.service == "db"
