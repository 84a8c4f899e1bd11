"""A part of a service's instances."""

from attrs import frozen


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
        return f"meta={self.key}:{self.value}" if self.key else f"tag={self.tag}"


@frozen
class Selection:
    """The instances that have all of `having` and none of `lacking`.

    Consul is not asked for them: all selections of a service share a watch.
    """

    having: tuple[Trait, ...] = ()
    lacking: tuple[Trait, ...] = ()
    #: Addresses, ``host:port``, at which none of them is.
    not_at: tuple[str, ...] = ()
