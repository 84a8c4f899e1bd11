"""Parts of a service's instances, and how clients are split among parts."""

from attrs import frozen

from lbconsul.text import decimal, quoted


@frozen
class Trait:
    """What an instance may have: a tag, or a pair of its service's metadata."""

    tag: str = ""
    #: Of metadata; empty: this is a tag.
    key: str = ""
    value: str = ""
    #: Whether a tag of another case is another tag.
    is_exact: bool = False

    def __str__(self) -> str:
        if self.key:
            return f"meta={self.key}:{_shown(self.value)}"
        return f"tag={_shown(self.tag)}"


@frozen
class Selection:
    """The instances that have all of `having` and none of `lacking`.

    Consul is not asked for them: all selections of a service share a watch.
    """

    having: tuple[Trait, ...] = ()
    lacking: tuple[Trait, ...] = ()
    #: Addresses, ``host:port``, at which none of them is.
    not_at: tuple[str, ...] = ()


@frozen
class Share:
    """A part of a split as the option has it: so much for what has a trait.

    Or for all instances of another service.
    """

    percent: float
    trait: Trait | None = None
    service: str = ""

    @property
    def name(self) -> str:
        """What tells it from the other parts, as the option has it."""
        return f"service={_shown(self.service)}" if self.service else str(self.trait)

    def __str__(self) -> str:
        return f"{decimal(self.percent)}%:{self.name}"


@frozen
class Sticky:
    """What keeps a client in its part: nothing, its address, or a cookie."""

    #: ``source`` or ``cookie``; empty: nothing does.
    by: str = ""
    #: Of the cookie.
    name: str = ""

    def __str__(self) -> str:
        return f"{self.by}:{self.name}" if self.name else self.by or "off"


@frozen
class Part:
    """What makes a row a part of a split.

    The rest is a part, too: the one without a name.
    """

    name: str
    #: How much of the clients or requests it gets, in proportion to the other parts.
    weight: float
    #: The text of the whole split: if it changes, all of its parts do.
    split: str
    #: Where a client goes whose part has no instance that accepts: to this service, and
    #: this part of it, as the rest does.  Of the rest itself they are empty.
    service: str = ""
    selection: Selection | None = None


def _shown(word: str) -> str:
    shown = quoted(word)
    if shown == word and ("|" in word or '"' in word):
        escaped = word.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return shown
