"""Rejects mappings that parse but cannot work, before the gateway starts.

Only options that the mapping sets itself are rejected, unless the result could never
work: a default of all mappings need not make sense for each.
"""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from attrs import evolve

from lbconsul.config import grammar
from lbconsul.config.listen import (
    ANY_HOST,
    Listen,
    TCPListen,
    UnixListen,
)
from lbconsul.config.model import Mapping, WhenEmpty
from lbconsul.config.rate_limit import IP
from lbconsul.config.server_names import ANY
from lbconsul.config.sources import RawMapping, SourcedText
from lbconsul.errors import ConfigError

#: Options that depend on the client's address.
_BY_ADDRESS = ("allow", "deny", "max-connections-per-client")

_Network = IPv4Network | IPv6Network


def validated(each: RawMapping, mapping: Mapping) -> Mapping:
    """Return the mapping without defaults that make no sense for it.

    :raises ConfigError: an option that the mapping sets itself makes no sense.
    """
    # A PROXY header gives the clients of a UNIX socket an address.
    if isinstance(mapping.listen, UnixListen) and not mapping.proxy_protocol.accept:
        _refuse_addresses(each)
        if "rate-limit" in each.options and IP in (
            one.by for one in mapping.limits.rates
        ):
            raise each.wrong(
                "rate-limit",
                "clients of a UNIX socket have no address; use by=route or by=header",
            )
        rates = tuple(one for one in mapping.limits.rates if one.by != IP)
        limits = evolve(mapping.limits, connections_per_client=0, rates=rates)
        mapping = evolve(mapping, allow=(), deny=(), limits=limits)
    _refuse_to_serve_nobody(each, mapping)
    if not mapping.service and not mapping.tags.is_on:  # when-empty is for its routes
        return evolve(mapping, when_empty=WhenEmpty())
    empty = mapping.when_empty
    is_itself = empty.fallback == mapping.service and not empty.is_address
    if not is_itself and not _leads_to(mapping, mapping):
        return mapping
    if "when-empty" in each.options:
        raise each.wrong(
            "when-empty", "leads back to this mapping; name another service or address"
        )
    return evolve(mapping, when_empty=WhenEmpty())


def reject_duplicates(
    told: Iterable[tuple[SourcedText, Mapping]],
    takeover: str,
    admin: Listen | None = None,
) -> None:
    """Reject two mappings, or a mapping and the takeover socket or `admin`, at one
    address.

    :raises ConfigError: two have the same address.
    """
    told = list(told)
    _refuse_overlaps(told)
    for said, mapping in told:
        if mapping.listen == UnixListen(takeover):
            raise said.wrong(
                f"{mapping.listen} is the takeover socket; choose another path"
            )
        if admin is not None and _overlap(mapping.listen, admin):
            raise said.wrong(
                f"{mapping.listen} overlaps with --admin {admin}; choose another"
                " address for one"
            )
    if takeover and admin == UnixListen(takeover):
        raise ConfigError(
            f"--admin {admin}: is the takeover socket; choose another path"
        )


def _refuse_overlaps(told: Iterable[tuple[SourcedText, Mapping]]) -> None:
    # There may be thousands of mappings: each is compared only with those that may
    # overlap.
    alike = defaultdict[object, dict[Listen | None, SourcedText]](dict)
    for said, mapping in told:
        listen = mapping.listen
        others = alike[_likeness(listen)]
        # A mapping of every address of a family is the only one in its group.
        taken = listen if listen in others else next(iter(others), None)
        if taken is not None and _overlap(taken, listen):
            by = others[taken]
            raise said.wrong(f"{taken} is taken by {by.where} {by.text}")
        others[listen] = said


def reject_fallback_loops(told: Iterable[tuple[SourcedText, Mapping]]) -> None:
    """Reject fallbacks that lead through this gateway's own ports back to the first.

    A client would be passed round until no descriptor is left.

    :raises ConfigError: there is such a loop.
    """
    told = list(told)
    nexts = _nexts([mapping for _, mapping in told])
    sound = set[Mapping]()
    for said, mapping in told:
        way = {mapping: None}
        there = nexts.get(mapping)
        while there is not None and there not in way and there not in sound:
            way[there] = None
            there = nexts.get(there)
        if there == mapping:
            through = ", ".join(map(str, [*way][1:]))
            raise said.wrong(
                f"when-empty={mapping.when_empty} leads back here through {through};"
                " give the last one another fallback"
            )
        if there not in way:  # else it leads into a loop but is not in it
            sound.update(way)


def _nexts(mappings: Iterable[Mapping]) -> dict[Mapping, Mapping]:
    """The next mapping of each mapping whose fallback leads to another one.

    Routes are among the `mappings`, each behind its mapping.
    """
    alike = defaultdict[object, list[Mapping]](list)
    for each in mappings:
        alike[_likeness(each.listen)].append(each)
    found = {}
    for mapping in mappings:
        # Its clients go to the route for the same ones, if there is one.
        routes = ["", ANY, mapping.route]
        nexts = [
            other
            for other in alike.get(_likeness(_fallback(mapping)), ())
            if other.route in routes and _leads_to(mapping, other)
        ]
        if nexts:
            found[mapping] = max(nexts, key=lambda other: routes.index(other.route))
    return found


def _refuse_addresses(each: RawMapping) -> None:
    for key in _BY_ADDRESS:
        if key in each.options:
            raise each.wrong(
                key, "clients of a UNIX socket have no address; use unix-mode= instead"
            )


def _refuse_to_serve_nobody(each: RawMapping, mapping: Mapping) -> None:
    if not isinstance(mapping.listen, TCPListen) or mapping.proxy_protocol.accept:
        return  # a PROXY header may have any address
    if mapping.mode == "http" and mapping.http.trusted_proxies:
        return  # and so may X-Forwarded-For
    version = 6 if ":" in mapping.listen.host else 4
    everybody = ("::/0",) if version == 6 else ("0.0.0.0/0",)
    allowed = _of(version, mapping.allow or everybody)
    if not allowed and "allow" in each.options:
        raise each.wrong(
            "allow",
            f"must name an IPv{version} network, since only IPv{version} clients"
            " can connect here",
        )
    denied = _of(version, mapping.deny)
    if allowed and all(_is_within(one, denied) for one in allowed):
        raise each.said.wrong(
            "deny covers all of allow, so no client could connect; drop deny: allow"
            " alone keeps all others out"
        )


def _of(version: int, texts: tuple[str, ...]) -> list[_Network]:
    return [each for each in map(ip_network, texts) if each.version == version]


def _is_within(one: _Network, others: Iterable[_Network]) -> bool:
    return any(
        one.network_address in other and one.prefixlen >= other.prefixlen
        for other in others
    )


def _leads_to(mapping: Mapping, other: Mapping) -> bool:
    """Whether a mapping's fallback address is visibly where `other` listens."""
    there, listen = _fallback(mapping), other.listen
    if there is None or _likeness(there) != _likeness(listen):
        return False
    assert isinstance(listen, TCPListen)
    everywhere = listen.host in ANY_HOST and grammar.is_loopback(there.host)
    return there == listen or everywhere


def _fallback(mapping: Mapping) -> TCPListen | None:
    """The address of the mapping's fallback, if it is an IP address."""
    if not mapping.when_empty.is_address:
        return None
    try:
        there = grammar.listen_address(mapping.when_empty.fallback)
    except ValueError:
        return None  # a name may resolve to any host
    return there if isinstance(there, TCPListen) else None


def _likeness(listen: Listen | None) -> object:
    """A key that is equal for all addresses that may overlap with this one."""
    if isinstance(listen, TCPListen):
        return listen.port, ":" in listen.host
    return listen


def _overlap(one: Listen | None, other: Listen | None) -> bool:
    """Whether the two cannot both be bound: equal, or every address and one of them."""
    if one == other:
        return True
    if not isinstance(one, TCPListen) or not isinstance(other, TCPListen):
        return False
    hosts = {one.host, other.host}
    same_family = len({":" in host for host in hosts}) == 1
    return one.port == other.port and same_family and not hosts.isdisjoint(ANY_HOST)
