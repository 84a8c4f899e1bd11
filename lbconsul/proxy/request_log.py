"""The access log of HTTP mode: one line per request, and its counts.

The text is near the combined log format, with HAProxy's timers: docs/reference.md.
"""

from collections.abc import Callable

from attrs import Factory, define, field
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.balance.instance import Instance
from lbconsul.config.model import Mapping
from lbconsul.http.log_fields import LogFields
from lbconsul.http.request import RequestHead
from lbconsul.http.response import SWITCHING_PROTOCOLS
from lbconsul.proxy.access_log import ConnectionWriter
from lbconsul.proxy.answer_reasons import limits_of
from lbconsul.proxy.client_info import facts_text
from lbconsul.proxy.request_record import (
    TIMERS,
    Request,
    RequestRecord,
    instance_of,
    json_fields,
    timers,
)
from lbconsul.proxy.request_texts import RequestTexts
from lbconsul.stats.causes import cause_of
from lbconsul.stats.http import HTTPStats
from lbconsul.stats.termination import Termination

_DONE = Termination.DONE

#: How a request ends if its upstream failed it; in due form with a server's error.
_OF_UPSTREAM = frozenset(
    {
        Termination.DONE,
        Termination.UPSTREAM_LEFT,
        Termination.RESPONSE_TIMEOUT,
        Termination.REQUEST_TIMEOUT,
        Termination.BAD_RESPONSE,
        Termination.BAD_BODY,
        Termination.UPSTREAM_RESET,
        Termination.HALF_CLOSED,
    }
)

#: An ordinary request that has had its response: the texts of its client, its head and
#: id; when it came, and was sent on, and when the response did; the status, bytes of
#: the body and of the head of the response; the instance.
Finished = tuple[
    RequestTexts, RequestHead, bytes, float, float, int, int, int, Instance
]

#: From here on a status says that the server failed.
_SERVER_ERROR = 500


@define(eq=False)
class RequestLog:
    """Counts the requests of one mapping or route, and writes its access log.

    Without a writer each line is a log event, for whatever observers there are.

    Ordinary requests are collected in `finished`, and counted and logged together at
    the end of the poller's turn: the first one of a turn calls ``later`` with the log.
    """

    _log = Logger()
    _mapping: Mapping
    _stats: HTTPStats
    #: Whether lines are written.
    is_on: bool
    #: Calls `proceed` at the end of the poller's turn.
    later: Callable[[object], None]
    _writer: ConnectionWriter | None = None
    finished: list[Finished] = Factory(list)
    #: The poller calls what is watched.
    watched: int = 1
    #: What lines show of heads beside what they always do; None: nothing.
    fields: LogFields | None = field(init=False)
    #: The mapping as text.
    _name: str = field(init=False)
    _limits: dict[Termination, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fields = LogFields.of(self._mapping.http.log_fields)
        self._name = str(self._mapping)
        self._limits = limits_of(self._mapping)

    def proceed(self) -> None:
        """Count and log the ordinary requests of a turn.  Called by the poller."""
        finished, self.finished = self.finished, []
        if not finished:
            return  # `over` came first
        stats = self._stats
        stats.reused += len(finished)
        stats.all_exchanged(
            [
                (
                    instance.identity, status, now - since, now - since,
                    len(head.raw) + head.fields.body, head_sent + sent,
                )
                for (
                    _, head, _, since, now, status, sent, head_sent, instance
                ) in finished
            ]
        )  # fmt: skip
        if not self.is_on:
            return
        writer = self._writer
        if writer is None or writer.is_json:
            for each in finished:
                self._write_ordinary(*each)
            return
        name, lines = self._name, []
        for texts, head, request_id, since, now, status, sent, _, instance in finished:
            texts.read(head, head.raw)
            ms = int((now - since) * 1000)
            line = (
                f'{texts.client} {name} {instance.text} "{texts.line}" {status} {sent}'
                f' "{texts.referer}" "{texts.user_agent}" host={texts.host}'
                f" in={head.fields.body} TR=0 Tw=0 Tc=0 Tr={ms} Ta={ms} retries=0"
                f" reused=1 -- id={request_id.decode()}"
            )
            if texts.facts:
                line += facts_text(texts.facts)
            lines.append(line)
        writer.write_requests(lines)

    def connectionLost(self, reason: Failure) -> None:
        """Nothing: a bug, which the poller has reported, cost one turn's lines."""

    def _write_ordinary(
        self,
        texts: RequestTexts,
        head: RequestHead,
        request_id: bytes,
        since: float,
        now: float,
        status: int,
        sent: int,
        head_sent: int,
        instance: Instance,
    ) -> None:
        request = RequestRecord(
            raw=head.raw,
            head=head,
            request_id=request_id,
            since=since,
            begun_at=since,
            connecting_at=since,
            sent_at=since,
            answered_at=now,
            status=status,
            received=head.fields.body,
            sent=sent,
            head_sent=head_sent,
            failed=instance,
            is_reused=True,
        )
        self._write(request, texts, _DONE, now, "")

    def over(
        self,
        request: Request,
        texts: RequestTexts,
        termination: Termination,
        now: float,
    ) -> None:
        """Count and log a request that is over; `texts` are its client's."""
        if self.finished:
            self.proceed()  # the order of lines is that of the requests
        stats, lease, reason = self._stats, request.lease, request.reason
        answered_at, status = request.answered_at, request.status
        stats.exchanged(
            None if reason or lease is None else lease.instance.identity,
            status,
            answered_at - request.begun_at if answered_at else -1.0,
            now - request.since,
            len(request.raw) + request.received - request.counted_received,
            request.head_sent + request.sent - request.counted_sent,
        )
        if request.is_reused:
            stats.reused += 1
        if request.retries:
            stats.retries += request.retries
        if reason:
            stats.refused[reason] += 1
        if request.plain:
            stats.compressed += 1
            stats.compressed_in += request.plain
            stats.compressed_out += request.sent
        if status >= _SERVER_ERROR or termination is not _DONE:
            self._note_unhappy(request, texts, termination, now)
        if self.is_on:
            upgrade = "ended" if status == SWITCHING_PROTOCOLS else ""
            self._write(request, texts, termination, now, upgrade)

    def moved(self, request: Request) -> None:
        """Count the bytes so far of a request that takes long."""
        received = request.received - request.counted_received
        sent = request.sent - request.counted_sent
        lease = request.lease
        if lease is not None and (received or sent):
            request.counted_received += received
            request.counted_sent += sent
            self._stats.moved(lease.instance.identity, received, sent)

    def upgraded(self, request: Request, texts: RequestTexts, now: float) -> None:
        """Log that a connection belongs to another protocol from now on."""
        if self.is_on:
            self._write(request, texts, _DONE, now, "begun")

    def _note_unhappy(
        self,
        request: Request,
        texts: RequestTexts,
        termination: Termination,
        now: float,
    ) -> None:
        """Keep a request that the gateway or an upstream failed."""
        status, code = request.status, termination.code
        if status < _SERVER_ERROR and (request.reason or code[0] == "C"):
            return  # the client's own mistake, or it left
        texts.read(request.head, request.raw)
        method, _, rest = texts.line.partition(" ")
        instance, reason = instance_of(request), request.reason or code
        lease = request.lease
        # What did not accept is counted by the dialer.
        if lease is not None and termination in _OF_UPSTREAM:
            self._stats.failed(lease.instance.identity, now, cause_of(reason, status))
        self._stats.unhappy.note(
            now,
            texts.client,
            method,
            texts.host,
            rest.rpartition(" ")[0],
            status,
            None if instance is None else instance.identity,
            reason,
            request.retries,
        )

    def _write(
        self,
        request: Request,
        texts: RequestTexts,
        termination: Termination,
        now: float,
        upgrade: str,
    ) -> None:
        texts.read(request.head, request.raw)
        lease = request.lease
        instance = request.failed if lease is None else lease.instance
        upstream = "-" if instance is None else instance.text
        since, answered = request.since, request.answered_at
        if answered and request.sent_at == since:  # a kept connection, at once
            text = (
                f"TR=0 Tw=0 Tc=0 Tr={int((answered - since) * 1000)}"
                f" Ta={int((now - since) * 1000)}"
            )
        else:
            each = zip(TIMERS, timers(request, now), strict=True)
            text = " ".join([f"{name}={ms}" for name, ms in each])
        request_id = request.request_id.decode() or "-"
        line = (
            f'{texts.client} {self._name} {upstream} "{texts.line}" {request.status}'
            f' {request.sent} "{texts.referer}" "{texts.user_agent}" host={texts.host}'
            f" in={request.received} {text} retries={request.retries}"
            f" reused={'1' if request.is_reused else '0'} {termination.code}"
            f" id={request_id}"
        )
        facts = texts.facts
        if upgrade or request.reason or termination is not _DONE:
            facts = self._facts(request, termination, upgrade) | facts
        if request.user or request.coding:
            own = {"user": request.user, "coding": request.coding}
            facts = facts | {name: each for name, each in own.items() if each}
        if self.fields is not None:
            facts = facts | self.fields.texts(request.raw, request.response_fields)
        if facts:
            line += facts_text(facts)
        writer = self._writer
        if writer is not None and not writer.is_json:
            writer.write_request(line, {})
            return
        fields = {
            "client": texts.client,
            "mapping": self._name,
            "upstream": upstream,
            **json_fields(request, texts, now),
            "termination": termination.code,
            "request_id": request_id,
            **facts,
        }
        if writer is not None:
            writer.write_request(line, fields)
        else:
            self._log.info("{line}", line=line, **fields)

    def _facts(
        self, request: Request, termination: Termination, upgrade: str
    ) -> dict[str, str]:
        """What few requests have: why they were not passed on, or were cut."""
        error = request.error or self._limits.get(termination, "")
        facts = {"upgrade": upgrade, "reason": request.reason, "error": error}
        return {name: value for name, value in facts.items() if value}
