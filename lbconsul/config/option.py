"""One option: its name, its parser, its help, and the field that holds its value."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from attrs import frozen

#: Options whose value is a list with ``|`` between its items.
BARRED = frozenset(
    {"compress", "dc", "hooks", "register-meta", "register-tags", "split"}
)


@frozen
class Option:
    """One option: `parse` turns its text into the value or raises ValueError."""

    name: str
    parse: Callable[[str], Any]
    help: str
    #: The field that holds the value, as ``group.name``; empty: named as the option.
    field: str = ""
    #: Whether it may be given several times: the value is a tuple.  The texts are one
    #: with its name between them, as in a mapping: ``a,name=b``.
    is_list: bool = False

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


def joined(name: str, texts: Iterable[object]) -> str:
    """The text of an option that is given several times."""
    return f",{name}=".join(map(str, texts))


def list_option(
    name: str,
    parse: Callable[[str], Any],
    help: str,
    field: str,
    *,
    distinct: str = "",
) -> Option:
    """An option that may be given several times; `parse` is for one of them.

    `distinct` names an attribute in which all values must differ.
    """

    def parse_all(text: str) -> tuple[Any, ...]:
        found = tuple(parse(each) for each in text.split(f",{name}="))
        if distinct:
            seen = set[object]()
            for each in found:
                key = getattr(each, distinct)
                if key in seen:
                    raise ValueError(f"{distinct} {key} is given twice")
                seen.add(key)
        return found

    return Option(name, parse_all, help, field, is_list=True)
