"""How the requests of a route are shared between its targets.  Pure.

As in fabio, ``weight=`` is the fixed share of one instance.  If the fixed shares add up
to more than 1, or to less and there are no other instances, they are scaled to 1; the
other instances get the rest, which is nothing if the fixed shares add up to 1 or more.
Consul's weights divide what the instances with a fixed share have together, and what
the others have together: where they are all equal the shares are fabio's.
"""

from collections.abc import Sequence

from attrs import frozen

#: A sum of shares may be less than 1 by this because of rounding.
_EXACT = 1e-9


@frozen
class Weighed:
    """The usable instances of a group."""

    #: The fixed share of each; 0: none.
    fixed: float
    #: How many there are, and their weights in Consul together.
    count: int
    weight: int


def shares(groups: Sequence[Weighed]) -> list[float]:
    """The share of each group.

    They add up to 1, or are all 0 if no group has an instance.
    """
    fixed_sum = sum(each.fixed * each.count for each in groups if each.count)
    fixed_weight = sum(each.fixed * each.weight for each in groups)
    free_weight = sum(each.weight for each in groups if not each.fixed)
    of_fixed = min(1.0, fixed_sum) if free_weight else 1.0
    if 1 - of_fixed < _EXACT:
        of_fixed = 1.0
    found = []
    for each in groups:
        if not each.weight:
            found.append(0.0)
        elif each.fixed:
            found.append(of_fixed * each.fixed * each.weight / fixed_weight)
        elif fixed_weight:
            found.append((1 - of_fixed) * each.weight / free_weight)
        else:
            found.append(each.weight / free_weight)
    return found
