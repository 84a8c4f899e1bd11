"""Explains what becomes of a request, from the configuration and the registry.

It asks no proxy: which route takes a request is the same in each process, and is
decided by the same code, `lbconsul.http.router`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from attrs import frozen

from lbconsul.admin.why import (
    MOST_CANDIDATES,
    CandidateStatus,
    MappingExplanation,
    PoolCount,
    Question,
    Why,
)
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.config.render import mapping_options
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.config.server_names import ServerNames
from lbconsul.errors import CannotExplain
from lbconsul.gateway.asked_request import AskedRequest
from lbconsul.gateway.interfaces import Gateway
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.gateway.why_tags import considered
from lbconsul.http.errors import Refused
from lbconsul.http.path import normalized_path
from lbconsul.http.redirecting import Redirecting
from lbconsul.http.request import RequestHead
from lbconsul.http.rewriting import RequestRewriting
from lbconsul.http.router import Router
from lbconsul.proxy.targets import failover_spec

#: The host of a route's pattern.
_HOST = re.compile(r"[^=/ ]*")

#: Tables of routes that are remembered, each of the routes of one host.
_MANY = 4

#: Options of a winner that are told.
_TOLD = (*(each.name for each in REWRITING_OPTIONS), "upstream-host", "allow", "deny")

#: The most addresses that are named where none matches.
_NAMED = 10


def explain(gateway: Gateway, question: Question) -> Why:
    """What becomes of a request.

    :raises CannotExplain: it is no request, or no mapping has its port.
    """
    request = AskedRequest.of(question)
    found = _mappings(gateway, request.port)
    explained = tuple(_Explainer(gateway, each, request).explain() for each in found)
    return Why(question.url, question.method, explained)


def _mappings(gateway: Gateway, port: int) -> list[Mapping]:
    """The mappings that listen on a port, or else those that have none."""
    mappings = [each for each in gateway.config.mappings if each.listen is not None]
    of_tcp = [each for each in mappings if isinstance(each.listen, TCPListen)]
    found = [
        each
        for each in of_tcp
        if isinstance(each.listen, TCPListen) and each.listen.port == port
    ]
    found = found or [each for each in mappings if each not in of_tcp]
    if not found:
        shown = sorted({f"{each.listen} ({each.mode})" for each in mappings})
        more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
        raise CannotExplain(
            f"no mapping listens on port {port}; there are"
            f" {', '.join(shown[:_NAMED])}{more}"
        )
    return found


def _routes_by_host(mapping: Mapping) -> dict[str, list[Mapping]]:
    hosts = defaultdict[str, list[Mapping]](list)
    for each in mapping.routes:
        match = _HOST.match(each.route)
        assert match is not None
        hosts[match[0].strip("[]") or "*"].append(each)
    return hosts


@lru_cache(_MANY)
def _router(routes: tuple[Mapping, ...]) -> Router[Mapping]:
    """A table of a mapping's routes: one of all hosts takes long to make."""
    return Router({each.route: each for each in routes})


@frozen
class _Explainer:
    """Explains what one mapping does with a request."""

    _gateway: Gateway
    _mapping: Mapping
    _request: AskedRequest

    def explain(self) -> MappingExplanation:
        """The explanation."""
        of_http = self._mapping.mode == "http"
        return self._of_request() if of_http else self._of_connection()

    def _told(self, **fields: Any) -> MappingExplanation:
        mapping, more = self._mapping, fields.pop("more_notes", ())
        return MappingExplanation(
            mapping=str(mapping),
            listen=str(mapping.listen),
            mode=mapping.mode,
            notes=(*self._notes(fields.get("winner")), *more),
            **fields,
        )

    def _notes(self, winner: CandidateStatus | None) -> Iterator[str]:
        mapping, is_secure = self._mapping, self._request.scheme == "https"
        if mapping.tls.certificates and not is_secure:
            yield "the mapping serves TLS: to http:// it answers nothing"
        if mapping.mode == "sni" and not is_secure:
            yield "the mapping looks for a ClientHello of TLS: http:// has none"
        if mapping.mode == "http" and is_secure and not mapping.tls.certificates:
            yield (
                "the mapping does not decrypt TLS: this is a request that a proxy of"
                " trusted-proxies passes on with X-Forwarded-Proto: https"
            )

    def _of_request(self) -> MappingExplanation:
        mapping, request = self._mapping, self._request
        try:
            head = request.head(mapping)
            path = normalized_path(head.path)
        except Refused as refused:
            return self._told(status=refused.status, reason=str(refused))
        tags = self._gateway.tag_mapping(mapping)
        if tags is not None:
            return self._of_tags(tags, head, path)
        host = head.fields.host
        by_host = _routes_by_host(mapping)
        names = ServerNames(by_host).matching(None if host is None else host.name)
        routes = tuple(each for found in names for each in found)
        explained = _router(routes).explain(
            None if host is None else host.name, path, head.method, head.fields
        )
        candidates = [
            _candidate(each.value, each.mismatch) for each in explained.candidates
        ]
        row = None if explained.winner is None else explained.winner.value
        redirects = Redirecting.of(mapping.rewriting) is not None
        if mapping.service or redirects:
            candidates.append(_candidate(mapping.rows[0], ""))
            row = row or mapping.rows[0]
        fields = self._choice(candidates, len(mapping.routes) - len(routes), row)
        return self._answered(fields, row, head, path)

    def _of_tags(
        self, tags: TagMapping, head: RequestHead, path: bytes
    ) -> MappingExplanation:
        """What becomes of a request where tags are the routes."""
        found = considered(tags, head, path, self._request.scheme)
        candidates = [_candidate(row, mismatch) for row, mismatch in found.rows]
        fields = self._choice(candidates, found.others, found.winner)
        fields["more_notes"] = found.notes
        if found.winner is None and not tags.is_complete:
            reason = "not all services are known yet"
            fields |= {"path": path.decode("ascii"), "status": 503, "reason": reason}
            return self._told(**fields)
        return self._answered(fields, found.winner, head, path)

    def _answered(
        self,
        fields: dict[str, Any],
        row: Mapping | None,
        head: RequestHead,
        path: bytes,
    ) -> MappingExplanation:
        """The explanation with these fields, and what the row does."""
        fields["path"] = path.decode("ascii")
        if row is None:
            fields |= {"status": 404, "reason": "no route takes it"}
            return self._told(**fields)
        try:
            fields |= self._outcome(row, head, path)
        except Refused as refused:
            fields |= {"status": refused.status, "reason": str(refused)}
        return self._told(**fields)

    def _outcome(self, row: Mapping, head: RequestHead, path: bytes) -> dict[str, Any]:
        """What the row does with the request.

        :raises Refused: it refuses it.
        """
        options = mapping_options(row)
        told = {name: options[name] for name in _TOLD if _is_set(name, options)}
        redirecting = Redirecting.of(row.rewriting)
        if redirecting is not None:
            redirect = redirecting.location(head, path, self._request.scheme)
            if redirect is not None:
                status, location = redirect
                text = location.decode("latin-1")
                return {"options": told, "status": status, "location": text}
            if not row.service:
                reason = "it is not redirected, and there is no service"
                return {"options": told, "status": 404, "reason": reason}
        rewriting = RequestRewriting.of(row.rewriting)
        if rewriting is not None:
            line = rewriting.line(head, path)
        else:
            query = head.target[len(head.path) :]
            line = b"%b %b%b HTTP/1.1\r\n" % (head.method, path, query)
        sends = line.decode("latin-1").strip()
        return {"options": told, "sends": sends, **self._service(row, 503)}

    def _of_connection(self) -> MappingExplanation:
        """The same without HTTP mode: by server name, if there are routes."""
        mapping = self._mapping
        by_host = _routes_by_host(mapping)
        found = ServerNames(by_host).matching(self._request.server_name)
        routes = [each for several in found for each in several]
        candidates = [_candidate(each, "") for each in routes]
        if mapping.service:
            routes.append(mapping.rows[0])
            candidates.append(_candidate(mapping.rows[0], ""))
        row = routes[0] if routes else None
        others = len(mapping.routes) - sum(map(len, found))
        fields = self._choice(candidates, others, row)
        if row is None:
            return self._told(reason="no route takes its server name", **fields)
        return self._told(**fields, **self._service(row, 0))

    def _choice(
        self, candidates: list[CandidateStatus], others: int, row: Mapping | None
    ) -> dict[str, Any]:
        """The fields that say which of the candidates it is."""
        return {
            "candidates": tuple(islice(candidates, MOST_CANDIDATES)),
            "considered": len(candidates),
            "others": others,
            "winner": None if row is None else _candidate(row, ""),
        }

    def _service(self, row: Mapping, status: int) -> dict[str, Any]:
        """The fields about a row's instances; `status` is for when there are none."""
        pools = tuple(self._pools(row))
        failover = self._gateway.registry.failover(failover_spec(row))
        if any(each.candidates or each.has_suspects for each in failover.all):
            return {"pools": pools}
        why = self._gateway.availability.why(row) or "no answer from Consul yet"
        wait = row.when_empty.wait
        waits = f"; it waits {wait:g} s for an instance first" if wait else ""
        return {"pools": pools, "status": status, "reason": f"{why}{waits}"}

    def _pools(self, row: Mapping) -> Iterator[PoolCount]:
        failover = self._gateway.registry.failover(failover_spec(row))
        traffic = self._gateway.data_plane.traffic(row)
        for number, pool in enumerate(failover.all):
            usable = [
                each
                for each in pool.candidates
                if (number, each.instance.identity) not in traffic.ejected
            ]
            yield PoolCount(
                str(pool.query),
                len(pool),
                len(usable),
                number in traffic.used,
                pool not in failover.pools,
            )


def _candidate(row: Mapping, mismatch: str) -> CandidateStatus:
    return CandidateStatus(str(row), row.route, row.service, mismatch)


def _is_set(name: str, options: dict[str, str]) -> bool:
    return options.get(name, "off") not in ("off", "keep")
