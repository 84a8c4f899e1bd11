"""The access log: one line per connection, at its end."""

from collections.abc import Mapping as AbstractMapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.upstream import Upstream
from lbconsul.config.model import Mapping
from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.sockets import address_text
from lbconsul.net.throttled_log import ThrottledLog, in_words
from lbconsul.stats.termination import Termination

#: Lines a second, and the burst, for clients that got no upstream.  Connections that
#: had an upstream are never throttled.
RATE, BURST = 10.0, 50.0


@define(eq=False)
class ConnectionLog:
    """Writes the access log of one mapping, unless `is_on` is false."""

    _log = Logger()
    _clock: IReactorTime
    _mapping: Mapping
    _is_on: bool = True
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bound = ThrottledLog(self._clock, TokenBucket(RATE, BURST), self._sum_up)

    def tell(
        self,
        address: object,
        accepted_at: float,
        upstream: Upstream | None,
        received: int,
        sent: int,
        retries: int,
        termination: Termination,
    ) -> None:
        """Log a connection that ended, or a client that was refused.

        The client has the address, and was accepted at the reactor's time given.
        `received` and `sent` are bytes from the client and from the upstream.
        """
        if not self._is_on:
            return
        if upstream is None and not self._bound.lets(termination.value):
            return
        client, mapping = address_text(address), str(self._mapping)
        instance = str(upstream.instance) if upstream else "-"
        seconds = self._clock.seconds() - accepted_at
        # Formatted here, with the fields beside it for structured logs: the logger
        # takes longer to format eight fields than the pool to choose an upstream.
        self._log.info(
            "{line}",
            line=(
                f"{client} {mapping} {instance} in={received} out={sent}"
                f" time={seconds:.3f} retries={retries} {termination.value}"
            ),
            client=client,
            mapping=mapping,
            upstream=instance,
            received=received,
            sent=sent,
            seconds=seconds,
            retries=retries,
            termination=termination.value,
        )

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        self._bound.stop()

    def _sum_up(self, terminations: AbstractMapping[str, int]) -> None:
        count = sum(terminations.values())
        self._log.info(
            "{mapping}: {count} more {clients} not served: {what}",
            mapping=str(self._mapping),
            count=count,
            clients="client was" if count == 1 else "clients were",
            what=in_words(terminations),
            terminations=dict(terminations),
        )
