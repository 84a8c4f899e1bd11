"""Slow start: an upstream that joins reaches its full weight gradually.

A server that has just started has cold caches; like HAProxy's ``slowstart``.
https://docs.haproxy.org/2.6/configuration.html#5.2-slowstart
"""

from collections.abc import Iterator

from attrs import Factory, define

from lbconsul.balance.upstream import Upstream

#: The fraction of its weight that an upstream begins with.
FIRST = 0.1


@define(eq=False)
class SlowStart:
    """The upstreams of one pool in slow start, over `span` seconds; 0: none."""

    span: float
    _since: dict[Upstream, float] = Factory(dict)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._since

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[Upstream]:
        return iter(self._since)

    def begin(self, upstream: Upstream, now: float) -> None:
        """Begin the slow start of an upstream that joined or came back."""
        if self.span:
            self._since[upstream] = now
            self.weigh(upstream, now)

    def end(self, upstream: Upstream) -> None:
        """End the slow start of an upstream: its full weight counts."""
        self._since.pop(upstream, None)
        upstream.ramp(1.0)

    def weigh(self, upstream: Upstream, now: float) -> None:
        """Let as much of the weight count as is due now."""
        since = self._since.get(upstream)
        if since is None:
            upstream.ramp(1.0)
        else:
            part = FIRST + (1 - FIRST) * (now - since) / self.span
            upstream.ramp(min(1.0, max(FIRST, part)))

    def tick(self, upstream: Upstream, now: float) -> None:
        """Let as much of the weight count as is due: all of it after `span` seconds."""
        since = self._since.get(upstream)
        if since is not None and now - since >= self.span:
            self.end(upstream)
        else:
            self.weigh(upstream, now)

    def end_all(self) -> list[Upstream]:
        """End every slow start; the upstreams whose weight changed."""
        warming = list(self._since)
        for each in warming:
            self.end(each)
        return warming
