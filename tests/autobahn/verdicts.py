"""What Autobahn's report says of each case, and where the gateway made it worse."""

from collections import Counter
from collections.abc import Mapping

#: From good to bad; one that is not among them is worse than any.
ORDER = (
    "OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED",
    "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "FAILED",
)  # fmt: skip

#: One of the server's answers, and one of how the connection ended.
ASPECTS = ("behavior", "behaviorClose")

#: What Autobahn writes into its index of one agent: its cases, and their verdicts.
Cases = Mapping[str, Mapping[str, object]]


def worse(direct: Cases, through: Cases) -> dict[str, str]:
    """The cases that the gateway makes worse, or does not let happen, and how."""
    found = dict[str, str]()
    for case in sorted(direct, key=_in_order):
        was, became = _told(direct[case]), _told(through.get(case, {}))
        if any(_badness(b) > _badness(a) for a, b in zip(was, became, strict=True)):
            found[case] = f"{' and '.join(became)}, directly {' and '.join(was)}"
    return found


def _told(case: Mapping[str, object]) -> list[str]:
    return [str(case.get(aspect, "missing")) for aspect in ASPECTS]


def summary(cases: Cases) -> str:
    """How many cases there are of each verdict."""
    counts = [
        Counter(str(each[aspect]) for each in cases.values()) for aspect in ASPECTS
    ]
    told = [
        ", ".join(f"{count[each]} {each}" for each in sorted(count, key=_badness))
        for count in counts
    ]
    return f"{len(cases)} cases: {told[0]}; ends: {told[1]}"


def _badness(verdict: str) -> int:
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


def _in_order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]
