"""The access log: one line per connection, at its end."""

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.upstream import Upstream
from lbconsul.config.model import Mapping
from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.sockets import address_text
from lbconsul.net.throttled_log import ThrottledLog, in_words
from lbconsul.proxy.client_info import ClientInfo, facts_text
from lbconsul.stats.termination import Termination

#: Lines a second, and the burst, for clients that got no upstream.  Connections that
#: had an upstream are never throttled.
RATE, BURST = 10.0, 50.0


class ConnectionWriter(Protocol):
    """Writes the lines of connections, and requests, at less cost than events have."""

    @property
    def is_json(self) -> bool:
        """Whether it writes fields."""

    def write(
        self,
        message: str,
        client: str,
        mapping: str,
        upstream: str,
        received: int,
        sent: int,
        seconds: float,
        retries: int,
        termination: str,
        facts: AbstractMapping[str, str],
    ) -> None:
        """Write the line of one connection: its text, and the same as fields.

        `facts` are further fields, that few connections have.
        """

    def write_requests(self, messages: Sequence[str]) -> None:
        """Write the lines of several requests, if it does not write fields."""

    def write_request(self, message: str, fields: AbstractMapping[str, Any]) -> None:
        """Write the line of one request: its text, and for JSON the same as fields."""


@define(eq=False)
class ConnectionLog:
    """Writes the access log of one mapping, unless `is_on` is false.

    Without a writer each line is a log event, for whatever observers there are.
    """

    _log = Logger()
    _clock: IReactorTime
    _mapping: Mapping
    #: Whether lines are written; asked for each connection.
    is_on: bool = True
    _writer: ConnectionWriter | None = None
    #: The mapping as text.
    _name: str = field(init=False)
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._name = str(self._mapping)
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
        info: ClientInfo | None = None,
    ) -> None:
        """Log a connection that ended, or a client that was refused.

        The client has the address, and was accepted at the reactor's time given.
        `received` and `sent` are bytes from the client and from the upstream.
        `info` is what a handshake told of the client, if there was one.
        """
        if not self.is_on:
            return
        if upstream is None and not self._bound.allow(termination.code):
            return
        client, mapping, code = address_text(address), self._name, termination.code
        instance = upstream.instance.text if upstream else "-"
        seconds = self._clock.seconds() - accepted_at
        # The logger takes longer to format eight fields than the pool to choose.
        line = (
            f"{client} {mapping} {instance} in={received} out={sent}"
            f" time={seconds:.3f} retries={retries} {code}"
        )
        facts = {} if info is None else info.facts()
        if facts:
            line += facts_text(facts)
        if self._writer is not None:
            self._writer.write(
                line,
                client,
                mapping,
                instance,
                received,
                sent,
                seconds,
                retries,
                code,
                facts,
            )
            return
        self._log.info(
            "{line}",
            line=line,
            client=client,
            mapping=mapping,
            upstream=instance,
            received=received,
            sent=sent,
            seconds=seconds,
            retries=retries,
            termination=code,
            **facts,
        )

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        self._bound.stop()

    def _sum_up(self, terminations: AbstractMapping[str, int]) -> None:
        count = sum(terminations.values())
        self._log.info(
            "{mapping}: {count} more {clients} not served: {what}",
            mapping=self._name,
            count=count,
            clients="client was" if count == 1 else "clients were",
            what=in_words(terminations),
            terminations=dict(terminations),
        )
