"""Makes a group of targets a row of its mapping.  Pure."""

from attrs import evolve

from lbconsul.config.http import HTTP
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import TLS, Mapping, UpstreamTLS, WhenEmpty
from lbconsul.config.register import Register
from lbconsul.config.rewriting import Rewriting
from lbconsul.config.split import Sticky
from lbconsul.tags.hosts import split_port
from lbconsul.tags.model import GroupKey
from lbconsul.tags.options import TagOptions
from lbconsul.tags.tag import RouteKey


def row_of(mapping: Mapping, key: RouteKey, group: GroupKey | None) -> Mapping:
    """The row for a group of a route of `mapping`; None: for a route without a group.

    It has the options of the mapping, but for those that the tag sets.  What limits the
    clients of the whole address is not counted for each row again.  Its `route` tells
    it apart from all other rows of the mapping.
    """
    limits = evolve(mapping.limits, connections=0, connections_per_client=0)
    row = evolve(
        mapping,
        service="",
        route=_name(key, group),
        routes=(),
        allow=(),
        deny=(),
        limits=limits,
        register=Register(),
        split=(),  # its parts are of one service
        split_sticky=Sticky(),
    )
    if group is None:
        return evolve(row, when_empty=WhenEmpty())
    options = group.options
    row = evolve(
        row,
        allow=options.allow,
        deny=options.deny,
        rewriting=_rewriting(mapping.rewriting, key, options),
        upstream_tls=_upstream_tls(mapping.upstream_tls, options),
        http=_http(mapping.http, options),
    )
    if group.address:
        fallback = WhenEmpty(fallback=group.address, is_address=True)
        return evolve(row, when_empty=fallback)
    return evolve(row, service=group.service, selection=group.selection)


def _name(key: RouteKey, group: GroupKey | None) -> str:
    words = [key.place, str(group or ("-" if key.is_bounded else ""))]
    words += ["boundary=segment"] if key.is_bounded else []
    return " ".join(filter(None, words))


def tcp_row_of(mapping: Mapping, key: RouteKey, group: GroupKey) -> Mapping:
    """The row for a group of a TCP route: a mapping of its own, at the same host.

    As in fabio its bytes are passed on as they are, TLS too.
    """
    listen, options = mapping.listen, group.options
    assert isinstance(listen, TCPListen)
    send = "v1" if options.proxy_protocol else mapping.proxy_protocol.send
    return evolve(
        row_of(mapping, key, group),
        listen=evolve(listen, port=key.port),
        mode="tcp",
        tls=TLS(),
        upstream_tls=UpstreamTLS(),
        proxy_protocol=evolve(mapping.proxy_protocol, send=send),
        http=HTTP(),
        rewriting=Rewriting(),
    )


def _rewriting(before: Rewriting, key: RouteKey, options: TagOptions) -> Rewriting:
    return evolve(
        before,
        strip_prefix=options.strip or before.strip_prefix,
        add_prefix=options.prepend or before.add_prefix,
        redirect=options.redirect or before.redirect,
        strips_within_segments=bool(options.strip) and not key.is_bounded,
        redirects_rewritten=options.redirect is not None,
    )


def _upstream_tls(before: UpstreamTLS, options: TagOptions) -> UpstreamTLS:
    if not options.proto:
        return before
    if options.proto != "https":
        return UpstreamTLS()
    name = before.server_name
    if options.host and options.host != "address":
        # A name, which is also the one to verify; an address is verified anyway.
        name = split_port(options.host)[0]
    return evolve(
        before,
        is_on=True,
        server_name=name,
        verify=before.verify and not options.skip_verify,
    )


def _http(before: HTTP, options: TagOptions) -> HTTP:
    return evolve(before, upstream_host=options.host) if options.host else before
