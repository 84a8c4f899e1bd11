"""Makes the parts of a mapping or route that has a split."""

from attrs import evolve

from lbconsul.config.model import Limits, Mapping
from lbconsul.config.sources import RawMapping
from lbconsul.config.split import Part, Selection, Sticky


def with_parts(each: RawMapping, row: Mapping) -> Mapping:
    """The mapping or route with a row for each part of its split.

    An instance that several parts would take is in the first of them.  The parts have
    the options of the whole, but for what is decided before a part is chosen.

    :raises ConfigError: what it sets itself cannot work.
    """
    if row.split and not row.service:
        if "split" in each.options:
            raise each.wrong("split", "needs a service, which gets the rest")
        row = evolve(row, split=(), split_sticky=Sticky())
    _refuse_sticky(each, row)
    if row.split_sticky.by == "cookie" and row.mode != "http":
        row = evolve(row, split_sticky=Sticky())  # a default of all mappings
    if not row.split:
        return row
    for share in row.split:
        if share.service == row.service:
            raise each.wrong(
                "split",
                f"{share} is the service itself; split it by tag= or meta=",
            )
    traits = tuple(share.trait for share in row.split if share.trait is not None)
    rest = Selection(lacking=traits) if traits else None
    text = f"{'|'.join(map(str, row.split))} {row.split_sticky}"
    weight = 100 - sum(share.percent for share in row.split)
    parts = tuple(
        evolve(
            row,
            service=share.service or row.service,
            selection=_selection(row, number),
            part=Part(share.name, share.percent, text, row.service, rest),
            split=(),
            split_sticky=Sticky(),
            allow=(),
            deny=(),
            limits=Limits(
                connections_per_upstream=row.limits.connections_per_upstream,
                queue_length=row.limits.queue_length,
            ),
            allow_empty=True,  # its share goes to the others meanwhile
        )
        for number, share in enumerate(row.split)
    )
    return evolve(row, selection=rest, part=Part("", weight, text), parts=parts)


def _selection(row: Mapping, number: int) -> Selection | None:
    """Which instances the part with this number has; None: all of its service."""
    trait = row.split[number].trait
    if trait is None:
        return None
    earlier = (share.trait for share in row.split[:number])
    return Selection((trait,), tuple(each for each in earlier if each is not None))


def _refuse_sticky(each: RawMapping, row: Mapping) -> None:
    if "split-sticky" not in each.options:
        return
    if not row.split:
        raise each.wrong("split-sticky", "works only with split=")
    if row.split_sticky.by != "cookie":
        return
    if row.mode != "http":
        raise each.wrong(
            "split-sticky", "a cookie works only with mode=http; source works with all"
        )
    if row.split_sticky.name == row.affinity.sticky:
        raise each.wrong("split-sticky", "must not have the name of sticky='s cookie")
