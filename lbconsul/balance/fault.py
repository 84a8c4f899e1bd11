"""What code of an operator's own, a policy or a hook, did wrong."""

from collections.abc import Callable
from enum import Enum
from typing import Self

from attrs import frozen

from lbconsul.text import one_line

#: Most characters of an exception's text.
_TEXT = 200


class FaultKind(Enum):
    """How it went wrong."""

    #: It raised an exception, or returned what it may not.
    FAILED = "failed"
    #: It took too long.
    SLOW = "slow"


@frozen
class Fault:
    """One fault: of what, in which method, and what it did, in words."""

    name: str
    method: str
    kind: FaultKind
    text: str

    @classmethod
    def slow(cls, name: str, method: str, seconds: float) -> Self:
        """It took so long."""
        text = f"took {seconds * 1000:.0f} ms, while all clients of its process waited"
        return cls(name, method, FaultKind.SLOW, text)

    def __str__(self) -> str:
        return f"{self.name}: {self.method} {self.text}"


#: What is told of faults.
Report = Callable[[Fault], None]


def in_words(error: BaseException) -> str:
    """An exception on one line, with the place in other code than the caller's."""
    place = ""
    step = error.__traceback__ and error.__traceback__.tb_next
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith("<"):  # a part of Python
            place = f" ({file.rpartition('/')[2]}, line {step.tb_lineno})"
        step = step.tb_next
    text = f"{type(error).__name__}: {one_line(str(error), _TEXT)}".removesuffix(": ")
    return f"{text}{place}"
