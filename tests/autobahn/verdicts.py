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


def worse(direct: Cases, through: Cases) -> list[str]:
    """The cases that the gateway makes worse, or that it does not let happen."""
    found = []
    for case in sorted(direct, key=_in_order):
        for aspect in ASPECTS:
            was = str(direct[case][aspect])
            became = str(through.get(case, {}).get(aspect, "missing"))
            if _badness(became) > _badness(was):
                found.append(f"{case}: {aspect} is {became}, directly {was}")
    return found


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
