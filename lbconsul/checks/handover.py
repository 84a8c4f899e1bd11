"""The states of checks, as a successor gets them in a takeover.  Pure.

A gateway that knew nothing would give clients to instances that the one before had
found dead.
"""

from collections.abc import Iterable
from typing import Any

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.own_checks import CheckKey

#: The most states that are handed over: failing ones come first.
MOST = 10_000

#: The longest text in a state, in characters.
LONGEST = 512

#: Why a check fails; empty: it passes.
Reason = str


def to_state(known: Iterable[tuple[CheckKey, Reason]]) -> dict[str, Any]:
    """The states as JSON can hold them, by the text of each check."""
    ordered = sorted(known, key=lambda each: not each[1])[:MOST]
    found = dict[str, list[list[str | int]]]()
    for key, reason in ordered:
        row: list[str | int] = [*key.identity, key.host, key.port, reason]
        if max(len(str(each)) for each in row) <= LONGEST:
            found.setdefault(name_of(key), []).append(row)
    return {"checks": found}


def name_of(key: CheckKey) -> str:
    """What a check is called there: gateways of one version have the same."""
    return str(key.check)


@define(eq=False)
class Inherited:
    """What a predecessor knew; each state is used once."""

    _reasons: dict[tuple[str, Identity, str, int], Reason] = Factory(dict)

    @classmethod
    def of(cls, state: object) -> "Inherited":
        """From the value of `to_state`; of a value of another form nothing is known."""
        found = cls()
        match state:
            case {"checks": dict(by_name)}:
                for name, rows in by_name.items():
                    found._take(str(name), rows)
        return found

    def _take(self, name: str, rows: object) -> None:
        for row in rows if isinstance(rows, list) else ():
            match row:
                case [
                    str(datacenter), str(node), str(service_id), str(host), int(port),
                    str(reason),
                ] if len(self._reasons) < MOST:  # fmt: skip
                    identity = Identity(datacenter, node, service_id)
                    self._reasons[name, identity, host, port] = reason[:LONGEST]

    def pop(self, key: CheckKey) -> Reason | None:
        """Why a check failed, empty if it passed; None if that is not known."""
        if not self._reasons:
            return None
        return self._reasons.pop((name_of(key), key.identity, key.host, key.port), None)
