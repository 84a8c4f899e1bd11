"""What is wrong with a gateway, the worst first.  Pure."""

from collections.abc import Iterator

from attrs import frozen

from lbconsul.admin.check_status import fails_open, used_all_the_same
from lbconsul.admin.short_text import span
from lbconsul.top.figures import Figures, Key, Status
from lbconsul.top.lines import BAD, FAINT, WARN, plural

#: Standings of upstreams that get connections.
USABLE = frozenset({"serving", "warming"})

#: From this share of 5xx on a mapping has a problem.
_ERRORS = 0.01

#: What the reasons of drains begin with that an operator has asked for.
MEANT = ("deregistered", "drained by hand", "maintenance", "weight 0")

_RANKS = {BAD: 0, WARN: 1, FAINT: 2}

_GATEWAY: Key = ("", "", "")

#: What the state of a certificate means.
_CERTIFICATES = {
    "expired": "has expired",
    "early": "is not valid yet",
    "expiring": "expires in {} days",
}


@frozen
class Problem:
    """One thing that is wrong, as a sentence."""

    text: str
    #: `BAD`, `WARN`, or `FAINT` for what an operator wanted.
    tone: str
    #: The row that it is about; empty texts if it is none.
    key: Key = _GATEWAY

    @property
    def rank(self) -> int:
        """0 is worst."""
        return _RANKS[self.tone]


def problems(figures: Figures) -> list[Problem]:
    """All problems of a gateway, the worst first.

    :raises LookupError: (or TypeError, ValueError, AttributeError) it is no status.
    """
    status = figures.status
    found = [
        *_of_gateway(status["gateway"], _own(status["mappings"])),
        *_of_watches(status["watches"], status["gateway"]["now"]),
    ]
    for mapping in status["mappings"]:
        found += _of_mapping(mapping, figures)
    return sorted(found, key=lambda each: each.rank)


def _own(mappings: list[Status]) -> tuple[str, ...]:
    """What reasons begin with that are problems of mappings."""
    return tuple(f"{each['name']}: " for each in mappings if is_empty(each))


def _of_gateway(gateway: Status, told: tuple[str, ...]) -> Iterator[Problem]:
    if gateway["state"] == "draining":
        left = plural(gateway["open"], "connection")
        yield Problem(f"the gateway drains: it ends after {left} more", BAD)
    else:
        for each in gateway["not_ready"]:
            if not each.startswith(told):
                yield Problem(f"not ready: {each}", BAD)
    for each in gateway["full"]:
        about = f"{each['mapping']}: " if each["mapping"] else ""
        what = (
            "overloaded" if each["reason"] == "shed-lag" else "full, new clients wait"
        )
        yield Problem(f"{about}{what}: {each['reason']}", WARN)
    for each in gateway.get("registrations", ()):
        if each["state"] != "passing":
            why = f": {each['reason']}" if each["reason"] else ""
            text = f"in Consul as {each['service']}: {each['state']}{why}"
            yield Problem(text, WARN)
    serving = sum(1 for each in gateway["workers"] if each["serves"])
    if serving < len(gateway["workers"]):
        yield Problem(f"{serving} of {len(gateway['workers'])} workers serve", WARN)


def _of_watches(watches: list[Status], now: float) -> Iterator[Problem]:
    for watch in watches:
        if watch["failing_since"] is not None:
            since = span(now - watch["failing_since"])
            age = "no answer yet" if watch["age"] is None else f"{span(watch['age'])}"
            used = f"; in use is its answer of {age} ago" if watch["age"] else ""
            yield Problem(
                f"Consul fails for {watch['query']} for {since}: {watch['last_error']}"
                f"{used}",
                BAD,
            )
        elif watch["state"] == "snapshot":
            yield Problem(
                f"Consul has not answered for {watch['query']}: a snapshot is in use",
                WARN,
            )
        if watch["skipped"]:
            first = watch["skipped_instances"][0]
            yield Problem(
                f"{watch['query']}: {plural(watch['skipped'], 'instance')} skipped:"
                f" {first['instance']}: {first['reason']}",
                WARN,
            )


def _of_mapping(mapping: Status, figures: Figures) -> Iterator[Problem]:
    name = mapping["name"]
    key = (name, "", "")
    if not mapping["listening"] and figures.status["gateway"]["state"] == "serving":
        yield Problem(f"{name}: does not listen on {mapping['listen']}", BAD, key)
    if is_empty(mapping):
        why = mapping["empty"] or "none of its instances is usable"
        what = "no upstreams: " if mapping["service"] else ""
        yield Problem(f"{name}: {what}{why}", BAD, key)
    rates = figures.rates.get(key)
    if rates is not None and rates.errors > _ERRORS * rates.requests:
        share = f"{100 * rates.errors / rates.requests:.3g} %"
        yield Problem(f"{name}: {share} of requests are answered 5xx", WARN, key)
    yield from _of_certificates(mapping, key)
    for pool in mapping["pools"]:
        if opened := sum(map(fails_open, pool["upstreams"])):
            yield Problem(f"{name}: {used_all_the_same(opened)}", WARN, key)
        for each in pool["upstreams"]:
            if each["standing"] not in USABLE:
                yield _of_upstream(name, pool["query"], each)


def is_empty(mapping: Status) -> bool:
    """Whether a mapping's clients have no upstream to go to."""
    if not mapping["service"]:  # a route is closed whose tags are invalid
        return bool(mapping["empty"])
    usable = USABLE | {"suspect"}
    return not any(
        each["standing"] in usable
        for pool in mapping["pools"]
        for each in pool["upstreams"]
    )


def _of_certificates(mapping: Status, key: Key) -> Iterator[Problem]:
    for each in mapping["certificates"]:
        if each["state"] in _CERTIFICATES:
            is_over = each["state"] != "expiring"
            ends = _CERTIFICATES[each["state"]].format(each["days_left"])
            text = f"{key[0]}: certificate {each['source']} {ends}"
            yield Problem(text, BAD if is_over else WARN, key)
    if mapping["certificates_error"]:
        text = f"{key[0]}: certificates: {mapping['certificates_error']}"
        yield Problem(text, WARN, key)
    if error := mapping.get("passwords_error"):  # which an older gateway has not
        text = f"{key[0]}: passwords: {error}"
        yield Problem(text, WARN, key)


def _of_upstream(mapping: str, query: str, upstream: Status) -> Problem:
    standing, reason = upstream["standing"], upstream["reason"]
    is_meant = standing == "draining" and reason.startswith(MEANT)
    tone = BAD if standing == "ejected" else FAINT if is_meant else WARN
    name = f"{upstream['service_id']}@{upstream['node']}"
    # Some reasons begin with it.
    how = reason if reason.startswith(standing) else f"{standing}: {reason}"
    text = f"{mapping}: {name} {how}"
    return Problem(text, tone, (mapping, query, upstream["id"]))
