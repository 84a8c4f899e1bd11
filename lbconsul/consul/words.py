"""What a watch sees, in words for the log."""

from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from lbconsul.balance.instance import Instance
from lbconsul.balance.registry import Change
from lbconsul.text import clipped, one_line

#: So many instances are named in a line of log; of more, only the number.
_NAMED = 5

#: How much is told of an instance, in characters.
_INSTANCE = 500

#: How much of an error's own words is told, in characters.
_ERROR = 300


def describe(change: Change) -> str:
    """What an answer changed; instances have their names while they are few."""
    parts = [
        f"{len(which)} {what}{_names_of(which)}"
        for what, which in (
            ("joined", change.joined),
            ("left", change.left),
            ("altered", change.altered),
        )
        if which
    ]
    return ", ".join(parts) or "nothing new"


def _names_of(instances: tuple[Instance, ...]) -> str:
    if len(instances) > _NAMED:
        return ""
    return f" ({', '.join(_with_reason(each) for each in instances)})"


def _with_reason(instance: Instance) -> str:
    reason = instance.skipped or instance.health.worst(instance.node_health).reason
    return clipped(f"{instance}, {reason}" if reason else str(instance), _INSTANCE)


def in_words(error: BaseException | None) -> str:
    """An error as words for the log; some of Twisted's wrap others."""
    if isinstance(error, ResponseFailed | RequestTransmissionFailed):
        reasons: list[Failure] = error.reasons
        return ", ".join(in_words(reason.value) for reason in reasons)
    # Some of Twisted's carry a whole Failure in their text: one line is enough.
    # And some hold what came instead of an answer.
    text = one_line(str(error).partition("[Failure")[0], _ERROR)
    return text or type(error).__name__
