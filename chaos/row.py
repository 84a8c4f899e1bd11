"""What a row is."""

from collections.abc import Callable, Sequence

from attrs import frozen

from chaos.scene import Scene


@frozen
class Row:
    """One way of breaking things, and what must come of it."""

    name: str
    #: What is done, in words.
    done: str
    #: Does it, and fills the scene's report.
    play: Callable[[Scene], None]
    #: Programs that it needs beside Consul.
    needs: Sequence[str] = ()
    #: Descriptors that one of its processes may need.
    descriptors: int = 4096
    #: Seconds after which it hangs, in the full form.
    limit: float = 300.0
    #: Whether it mostly waits: the quick form plays it beside the others.
    waits: bool = False
    #: Whether the quick form leaves it out, unless it is named.
    only_full: bool = False
