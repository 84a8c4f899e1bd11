"""Looks for messages that are read wrongly, for some time.

usage: python -m tests.http.fuzz [SECONDS] [SEED]

What it finds is printed as bytes, with the seed of the message; a mistake of ours gets
a line in `tests.http.cases`, and one of llhttp's a rule in `tests.http.disagreements`.
"""

import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.http.disagreements import check_passed_on, compare
from tests.http.made_up import Maker
from tests.http.reading import Reading, read
from tests.http.through_proxy import ThroughProxy

#: Of so many messages one goes through a gateway: it takes fifty times as long.
THROUGH = 40

#: Seconds of the processor after which reading a message is taken for endless: it takes
#: some 1 ms.
LONGEST = 30.0


class Found(AssertionError):
    """A message that is read wrongly."""


def _outcome(reading: Reading) -> tuple[bool, list[bytes]]:
    """Whether it was refused, and what is passed on of whole messages."""
    whole = [each.sent for each in reading.messages if each.is_over]
    return reading.refused is not None, whole


@contextmanager
def _bounded() -> Iterator[None]:
    """Interrupt what takes too long, such as a regular expression that backtracks."""

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"it takes longer than {LONGEST} s")

    previous = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def check(seed: int, through: ThroughProxy | None = None) -> str:
    """Check the message of a seed; returns the reason of the rule that it needs.

    :raises Found: it is read wrongly.
    """
    maker = Maker(seed)
    is_request = bool(seed % 3)
    raw = maker.message(is_request=is_request)
    pieces = maker.pieces(raw)
    try:
        with _bounded():
            reason = compare(raw, is_request=is_request)
            whole = read([raw], is_request=is_request)
            split = read(pieces, is_request=is_request)
            assert _outcome(split) == _outcome(whole), "it depends on the pieces"
            if is_request:
                check_passed_on(raw)
            if through is not None:
                if is_request:
                    through.check_requests(pieces)
                else:
                    through.check_response(raw)
    except Exception as error:
        kind = "request" if is_request else "response"
        raise Found(
            f"seed {seed}: {kind} {raw!r}, {type(error).__name__}: {error}"
        ) from error
    return reason


def main(seconds: str = "60", seed: str = "") -> None:
    """Check messages until the time is over; exits with an error at the first found."""
    first = int(seed) if seed else random.SystemRandom().randrange(1 << 32)
    reasons, count, until = Counter[str](), 0, time.monotonic() + float(seconds)
    print(f"fuzz: seeds from {first} on, for {seconds} s", flush=True)
    with ThroughProxy() as through:
        while not count or time.monotonic() < until:
            use = count % THROUGH == 0 or bool(seed and float(seconds) == 0)
            try:
                reasons[check(first + count, through if use else None)] += 1
            except Found as found:
                sys.exit(f"{found}\nagain: python -m tests.http.fuzz 0 {first + count}")
            count += 1
    agreed = reasons.pop("", 0)
    print(f"fuzz: {count} messages; llhttp agrees about {agreed}, and else:")
    for reason, times in reasons.most_common():
        print(f"{times:8} {reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
