"""One option: its name, its parser, its help, and the field that holds its value."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from attrs import frozen


@frozen
class Option:
    """One option: `parse` turns its text into the value or raises ValueError."""

    name: str
    parse: Callable[[str], Any]
    help: str
    #: The field that holds the value, as ``group.name``; empty: named as the option.
    field: str = ""

    @property
    def attribute(self) -> str:
        """The field that holds the value, with its group if it has one."""
        return self.field or self.name.replace("-", "_")

    def value_in(self, owner: object) -> Any:
        """The value of this option in a mapping or configuration."""
        return attrgetter(self.attribute)(owner)


def table(*options: Option) -> dict[str, Option]:
    """A table of options by their names."""
    return {option.name: option for option in options}
