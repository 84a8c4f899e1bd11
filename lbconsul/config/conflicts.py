"""Rejects options of a mapping that contradict each other, or need one that is not set.

As in `lbconsul.config.validate`, a default of all mappings need not make sense for
each: only what a mapping sets itself is rejected.
"""

from collections.abc import Callable, Collection

from attrs import evolve, frozen

from lbconsul.config.affinity_options import STICKY_OPTIONS
from lbconsul.config.check_options import CHECK_OPTIONS
from lbconsul.config.cookies import CookieAttributes
from lbconsul.config.http_options import HTTP_OPTIONS
from lbconsul.config.listen import UnixListen
from lbconsul.config.model import TLS, Mapping
from lbconsul.config.register import Register
from lbconsul.config.register_options import REGISTER_OPTIONS
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.config.sizes import size_text
from lbconsul.config.sources import RawMapping
from lbconsul.config.tag_options import TAG_OPTIONS
from lbconsul.config.tag_routing import TAGS


@frozen
class _Need:
    """Options that have no effect without another one."""

    options: tuple[str, ...]
    #: The other option, and whether it is set.
    needed: str
    is_met: Callable[[Mapping], bool]


#: Policies that have no use for keys.
_KEYLESS = frozenset({"leastconn", "p2c", "random", "roundrobin"})

_NEEDS = (
    _Need(
        (
            "max-requests",
            *(
                option.name
                for option in (*HTTP_OPTIONS, *REWRITING_OPTIONS, *STICKY_OPTIONS)
            ),
        ),
        "mode=http",
        lambda mapping: mapping.mode == "http",
    ),
    _Need(
        ("compress-types", "compress-min-size", "compress-level"),
        "compress=",
        lambda mapping: bool(mapping.compression.codings),
    ),
    _Need(
        ("basic-auth-realm",),
        "basic-auth=",
        lambda mapping: bool(mapping.http.basic_auth),
    ),
    _Need(
        ("hash-balance-factor",),
        "policy=hash",
        lambda mapping: mapping.policy == "hash",
    ),
    _Need(
        ("hash-by",),
        "policy=hash, or a policy of your own",
        lambda mapping: mapping.policy not in _KEYLESS,
    ),
    _Need(
        ("tls-min", "client-ca", "client-verify", "client-crl"),
        "tls=",
        lambda mapping: bool(mapping.tls.certificates),
    ),
    _Need(
        ("client-verify", "client-crl"),
        "client-ca=",
        lambda mapping: bool(mapping.tls.client_ca),
    ),
    _Need(
        (
            "upstream-ca", "upstream-server-name", "upstream-verify", "upstream-cert",
            "upstream-key",
        ),
        "upstream-tls=on",
        # A tag may say proto=https.
        lambda mapping: mapping.upstream_tls.is_on or mapping.tags.is_on,
    ),
    _Need(
        tuple(each.name for each in REGISTER_OPTIONS if each.name != "register"),
        "register=",
        lambda mapping: bool(mapping.register.name),
    ),
    _Need(
        tuple(each.name for each in TAG_OPTIONS),
        f"the service {TAGS}, as 80:{TAGS},mode=http",
        lambda mapping: mapping.tags.is_on,
    ),
    _Need(
        tuple(each.name for each in CHECK_OPTIONS if each.name != "check"),
        "check=",
        lambda mapping: mapping.check.probe is not None,
    ),
    _Need(
        ("upstream-key",),
        "upstream-cert=",
        lambda mapping: bool(mapping.upstream_tls.cert),
    ),
)  # fmt: skip


#: Options without effect in HTTP mode, and why.
_IDLE_IN_HTTP = {
    "first-byte-timeout": "head-timeout= and keepalive-timeout= are the limits",
    "wait-for-client": "an instance is connected to only once there is a request",
}


def resolved(each: RawMapping, mapping: Mapping) -> Mapping:
    """The mapping without defaults that contradict what it sets itself.

    :raises ConfigError: what it sets itself is a contradiction, or the defaults are.
    """
    if mapping.tags.is_on:
        _refuse_with_tags(each, mapping)
    if mapping.mode == "http":
        _refuse_in_http(each, mapping)
        timeouts = evolve(mapping.timeouts, first_byte=0.0)
        mapping = evolve(mapping, timeouts=timeouts, waits_for_client=False)
    else:
        mapping = _without_fields(each, mapping)
    if isinstance(mapping.listen, UnixListen) and mapping.register.name:
        if "register" in each.options:
            raise each.wrong(
                "register", "a UNIX socket has no address that others can reach"
            )
        mapping = evolve(mapping, register=Register())
    if isinstance(mapping.listen, UnixListen) and "accept-proxy" not in each.options:
        # No client is in the networks of the default.  Set by the mapping, it is for
        # all clients.
        proxy_protocol = evolve(mapping.proxy_protocol, accept=())
        mapping = evolve(mapping, proxy_protocol=proxy_protocol)
    if mapping.mode != "sni" or not mapping.tls.certificates:
        return mapping
    own = each.options.keys() & {"mode", "tls"}
    if own == {"tls"}:
        return evolve(mapping, mode="tcp")
    if own == {"mode"}:
        return evolve(mapping, tls=TLS())
    raise each.said.wrong(
        "mode=sni passes TLS on without decrypting, which tls= would do: drop one"
    )


def _refuse_with_tags(each: RawMapping, mapping: Mapping) -> None:
    if mapping.mode != "http":
        raise each.said.wrong(
            f"{TAGS} are routes of requests: give mode=http, as 80:{TAGS},mode=http"
        )
    if "tag" in each.options:
        raise each.wrong(
            "tag", f"has no effect with {TAGS}: each route is of one tag's instances"
        )
    if "split" in each.options:
        raise each.wrong("split", f"has no effect with {TAGS}: give tags a weight=")


def _refuse_in_http(each: RawMapping, mapping: Mapping) -> None:
    for option, why in _IDLE_IN_HTTP.items():
        if option in each.options:
            raise each.wrong(option, f"has no effect with mode=http, where {why}")
    _refuse_cookie(each, mapping)
    http = mapping.http
    if http.max_uri > http.max_head and "max-uri" in each.options:
        raise each.wrong(
            "max-uri",
            f"is more than max-head={size_text(http.max_head)}, of which it is a part",
        )


def _without_fields(each: RawMapping, mapping: Mapping) -> Mapping:
    """The mapping without what only requests have to be told apart by."""
    if mapping.affinity.hash_by not in ("", "source"):
        if "hash-by" in each.options:
            raise each.wrong(
                "hash-by", "works only with mode=http; without it, by source alone"
            )
        mapping = evolve(mapping, affinity=evolve(mapping.affinity, hash_by=""))
    limits = mapping.limits
    if "rate-limit" in each.options and any(one.header for one in limits.rates):
        raise each.wrong("rate-limit", "by=header works only with mode=http")
    rates = tuple(one for one in limits.rates if not one.header)
    return evolve(mapping, limits=evolve(limits, rates=rates, requests=0))


def _refuse_cookie(each: RawMapping, mapping: Mapping) -> None:
    """Refuse a cookie that browsers would not keep (RFC 6265bis, 5.7)."""
    for name in (mapping.affinity.sticky, mapping.split_sticky.name):
        _refuse_name(each, name, mapping.cookies)


def _refuse_name(each: RawMapping, name: str, cookies: CookieAttributes) -> None:
    needs_secure = name.startswith(("__Host-", "__Secure-"))
    if cookies.same_site == "none" and cookies.secure == "off":
        raise each.said.wrong(
            "browsers keep no cookie with cookie-same-site=none and cookie-secure=off"
        )
    if needs_secure and cookies.secure == "off":
        raise each.said.wrong(f"browsers keep no cookie {name} with cookie-secure=off")
    if name.startswith("__Host-") and cookies.path != "/":
        raise each.said.wrong(f"browsers keep a cookie {name} only with cookie-path=/")


def is_redirecting(mapping: Mapping) -> bool:
    """Whether clients may be sent elsewhere, for which no service is needed."""
    rewriting = mapping.rewriting
    return mapping.mode == "http" and bool(
        rewriting.redirect or rewriting.redirect_https
    )


def refuse_routes(route: RawMapping, mapping: Mapping) -> None:
    """Refuse a route of a mapping that does not know its clients' server names.

    :raises ConfigError: it does not.
    """
    if mapping.tags.is_on:
        raise route.said.wrong(
            f"{mapping} has the tags of services as its routes, and no others: give the"
            " route to a mapping of another address, or to Consul as a tag"
        )
    if mapping.mode == "tcp" and not mapping.tls.certificates:
        raise route.said.wrong(
            f"{mapping} needs mode=sni, or tls=, to route by server name, or mode=http"
            " to route requests"
        )


def refuse_idle_options(each: RawMapping, rows: Collection[Mapping]) -> None:
    """Refuse options that `each` sets itself and that have no effect on any of `rows`.

    :raises ConfigError: there is such an option.
    """
    for need in _NEEDS:
        given = [option for option in need.options if option in each.options]
        if given and not any(map(need.is_met, rows)):
            raise each.wrong(given[0], f"works only with {need.needed}")
