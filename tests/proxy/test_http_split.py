"""The plans of requests with equal heads, of which each part has its own."""

from collections import Counter
from typing import Any

from attrs import define, evolve

from lbconsul.proxy.http_split import SplitPlans


@define(eq=False)
class APart:
    """The proxy of a part."""

    name: str
    http: object


@define(eq=False)
class APlan:
    """A plan."""

    client: str = "192.0.2.1"
    row: Any = None
    split: Any = None


@define(eq=False)
class Turns:
    """A split whose parts take turns."""

    parts: list[APart]
    asked: list[str]

    def of_request(self, client: str) -> APart:
        self.asked.append(client)
        return self.parts[len(self.asked) % len(self.parts)]


def test_plans() -> None:
    """Each request is of the part whose turn it is; the plan of a part is made once."""
    made = Counter[str]()

    def of_part(whole: Any, part: Any) -> Any:
        made[part.name] += 1
        return evolve(whole, row=part)

    split = Turns([APart("rest", "r"), APart("canary", "c")], [])
    plans = SplitPlans(APlan(), split, of_part)  # type: ignore[arg-type]
    found: list[Any] = [plans.next() for _ in range(4)]
    assert [each.row.name for each in found] == ["canary", "rest"] * 2
    assert made == {"canary": 1, "rest": 1}
    assert {each.split for each in found} == {plans}
    assert set(split.asked) == {"192.0.2.1"}
    # A client whose connection to an instance is its own stays in that part.
    bound: Any = plans.bound("c")  # type: ignore[arg-type]
    assert bound is found[0]
    assert plans.bound("other") is None  # type: ignore[arg-type]
