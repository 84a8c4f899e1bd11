"""What is wrong about tags and commands, and how that changes.  Pure."""

from collections.abc import Hashable, Iterator
from itertools import chain

from attrs import Factory, define

from lbconsul.tags.model import Problem, TableChange, TagRoute
from lbconsul.tags.overrides import Command
from lbconsul.tags.tag import RouteKey
from lbconsul.text import fit


@define(eq=False)
class Changing:
    """A change of a table while it is made."""

    routes: dict[RouteKey, TagRoute | None] = Factory(dict)
    #: What is looked at again, with the problems that it had.
    problems: dict[Hashable, tuple[Problem, ...]] = Factory(dict)


@define(eq=False)
class Problems:
    """All problems that there are, by what they are about."""

    _known: dict[Hashable, tuple[Problem, ...]] = Factory(dict)

    def __iter__(self) -> Iterator[Problem]:
        return chain.from_iterable(self._known.values())

    def note(
        self, about: Hashable, problems: tuple[Problem, ...], change: Changing
    ) -> None:
        """Note the problems that there are about something."""
        before = self._known.get(about, ())
        if problems == before:
            return
        change.problems.setdefault(about, before)
        if problems:
            self._known[about] = problems
        else:
            del self._known[about]

    def finished(self, change: Changing) -> TableChange:
        """The change as a value."""
        before = dict.fromkeys(chain.from_iterable(change.problems.values()))
        after = dict.fromkeys(
            chain.from_iterable(self._known.get(each, ()) for each in change.problems)
        )
        return TableChange(
            change.routes,
            tuple(each for each in after if each not in before),
            tuple(each for each in before if each not in after),
        )


def idle(command: Command) -> Problem:
    """A command that gives a weight to nothing."""
    why = "no target has this route, service and tags"
    if command.host != command.host.lower():
        why += "; hosts of routes are in lower case"
    return Problem("", None, command.where, why, True)


def met(key: RouteKey, longer: list[str]) -> Problem:
    """A route that ends within a segment of `longer` ones."""
    beside = " and ".join(fit(each) for each in longer)
    why = (
        f"beside {beside} it takes all paths that begin with {fit(key.path)}, as in"
        " fabio; boundary=segment keeps it to whole segments"
    )
    return Problem("", None, str(key), why, True)
