"""The options of a mapping for the gateway's own checks of its instances."""

from lbconsul.config import values
from lbconsul.config.check_values import probe
from lbconsul.config.option import Option

#: The option that says what a check does.  On the command line it stands in a mapping
#: only, since ``--check`` validates the configuration.
CHECK = "check"

CHECK_OPTIONS = (
    Option(
        CHECK,
        probe,
        "check the instances from here, too: tcp connects; /PATH asks over HTTP, with"
        " ;status=200-299|401, ;host=NAME and ;method=HEAD behind it; or off [off]",
        field="check.probe",
    ),
    Option(
        "check-interval",
        values.duration_between(0.5, 3600.0),
        "the time between two checks of an instance; longer if check-rate demands it"
        " [10s]",
        field="check.interval",
    ),
    Option(
        "check-fast-interval",
        values.duration_between(0.1, 3600.0),
        "the same while the results contradict the state: after a first failure until"
        " check-fall, after a first success until check-rise [2s]",
        field="check.fast_interval",
    ),
    Option(
        "check-timeout",
        values.duration_between(0.1, 60.0),
        "how long a check may take [2s]",
        field="check.timeout",
    ),
    Option(
        "check-rise",
        values.whole(1, 100),
        "how many checks in a row must pass until a failing instance serves again [2]",
        field="check.rise",
    ),
    Option(
        "check-fall",
        values.whole(1, 100),
        "how many checks in a row must fail until an instance gets nothing more; the"
        " first check of all decides alone [3]",
        field="check.fall",
    ),
    Option(
        "check-jitter",
        values.percentage("%"),
        "by how much chance lengthens or shortens each interval: off, or 1% to 99%"
        " [10%]",
        field="check.jitter",
    ),
    Option(
        "check-init",
        values.one_of(("up", "down")),
        "whether an instance that joins serves before its first check: up; or down:"
        " once that has passed [up]",
        field="check.initial",
    ),
    Option(
        "check-fail-open",
        values.switch,
        "whether instances are used as if no check had failed where the checks of all"
        " fail and nothing else can serve: on or off [on]",
        field="check.fail_open",
    ),
)
