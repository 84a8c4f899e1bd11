"""``--check --online``: checks a configuration against Consul."""

from collections import Counter
from contextlib import suppress
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredSemaphore,
)
from twisted.internet.defer import TimeoutError as AnyTimeoutError
from twisted.internet.error import ReactorNotRunning

from lbconsul.balance.emptiness import why_empty
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.standing import Standing, evaluate
from lbconsul.config.model import Config, Mapping, rows
from lbconsul.consul.catalog import Catalog, parse
from lbconsul.consul.client import ConsulClient, consul_client
from lbconsul.consul.describe import in_words
from lbconsul.consul.hints import NO_DATACENTER, Hints
from lbconsul.consul.key_watch import reading
from lbconsul.consul.location import pick_of
from lbconsul.errors import Forbidden
from lbconsul.gateway.certificate_check import CertificateCheck
from lbconsul.gateway.certificate_sources import key_prefix, tls_options
from lbconsul.process.clock import WallClock
from lbconsul.proxy.targets import failover_spec
from lbconsul.steps import finish
from lbconsul.text import fit

#: The timeout of the whole check, in seconds.
WITHIN = 20.0

#: The most concurrent queries.
AT_ONCE = 8

#: The most characters of an error that are shown.
_LONGEST = 300


def check_online(reactor: Any, config: Config) -> "OnlineCheck":
    """Run the reactor until the check is done; returns its findings.

    :raises ConfigError: the token file or a certificate cannot be read.
    """
    check = OnlineCheck(
        reactor, config, consul_client(reactor, config.consul, repeats=True)
    )

    def begin() -> None:
        done = Deferred.fromCoroutine(check.finish())
        done.addBoth(lambda _: _stop(reactor))

    reactor.callWhenRunning(begin)
    reactor.run()
    return check


def _stop(reactor: Any) -> None:
    with suppress(ReactorNotRunning):  # Ctrl-C was faster
        reactor.stop()


@define(eq=False)
class OnlineCheck:
    """Checks a configuration against Consul: a line for each mapping or problem."""

    _reactor: Any
    _config: Config
    _client: ConsulClient
    #: Lines about what is well, and about what is not.
    found: list[str] = Factory(list)
    problems: list[str] = Factory(list)
    #: The number of the first Consul address that answers; None before.
    _address: int | None = None
    _answers: dict[ServiceQuery, Catalog | Exception] = Factory(dict)
    _hints: Hints = field(init=False)

    def __attrs_post_init__(self) -> None:
        def page(path: str, datacenter: str, query: ServiceQuery) -> Deferred[bytes]:
            return self._client.page(path, datacenter, self._address or 0)

        self._hints = Hints(self._reactor, page)

    async def finish(self) -> None:
        """Run the check within `WITHIN` seconds; errors become problems."""
        try:
            run = Deferred.fromCoroutine(self.run())
            await run.addTimeout(WITHIN, self._reactor)
        except AnyTimeoutError:
            self.problems.append(
                f"Consul did not answer every query within {WITHIN:g} s"
            )
        except Exception as error:
            self.problems.append(f"a bug in lbconsul: {error!r}")
        await self._client.close()

    async def run(self) -> None:
        """Check Consul's addresses, the token, and then all mappings."""
        for address in range(self._client.addresses):
            await self._reach(address)
        if self._address is None:
            return
        if not await self._is_token_valid(self._address):
            return
        await self._check_certificates(self._address)
        await self._ask_all()
        for mapping in rows(self._config.mappings):
            await self._evaluate(mapping)

    async def _reach(self, address: int) -> None:
        where = f"Consul at {self._client.where(address)}"
        try:
            leader = await self._client.page("/v1/status/leader", "", address)
        except CancelledError:
            raise  # the whole check timed out
        except Exception as error:
            self.problems.append(f"{where} does not answer: {_words(error)}")
            return
        if self._address is None:
            self._address = address
        if leader.strip() in (b"", b'""'):
            self.problems.append(f"{where} has no leader")
        else:
            self.found.append(f"{where} answers")

    async def _is_token_valid(self, address: int) -> bool:
        consul = self._config.consul
        if not consul.token and not consul.token_file:
            return True
        try:
            await self._client.page("/v1/acl/token/self", "", address)
        except Forbidden as error:
            self.problems.append(f"Consul does not take the token: {_words(error)}")
            return False
        except CancelledError:
            raise
        except Exception:  # without ACLs Consul ignores tokens
            return True
        self.found.append("Consul takes the token")
        return True

    async def _check_certificates(self, address: int) -> None:
        check = CertificateCheck(WallClock(self._reactor.seconds).now)
        for tls, mapping in tls_options(self._config.mappings).items():
            prefix = key_prefix(tls)
            if not prefix:
                continue
            try:
                reply = await self._client.ask_keys(prefix, 0, address)
                keys = finish(reading(reply.body, prefix))
            except CancelledError:
                raise
            except Exception as error:
                self.problems.append(
                    f"{mapping}: no answer for {tls.certificates}: {_words(error)}"
                )
            else:
                count = check.check_keys(tls, mapping, keys)
                self.found.append(
                    f"{mapping}: {count} certificates in {tls.certificates}"
                )
        self.problems += check.errors
        self.found += check.warnings

    async def _ask_all(self) -> None:
        queries = {
            each.query: None
            for mapping in rows(self._config.mappings)
            for each in failover_spec(mapping).all()
            if not each.query.fixed
        }
        limit = DeferredSemaphore(AT_ONCE)
        asked = [
            limit.run(lambda each: Deferred.fromCoroutine(self._ask(each)), each)
            for each in queries
        ]
        # A timeout cancels in this order: queued queries first, so that cancelling the
        # running ones starts none of them.
        await DeferredList(asked[::-1], consumeErrors=True)
        if len(self._answers) < len(queries):  # cancelled by the timeout
            raise CancelledError

    async def _ask(self, query: ServiceQuery) -> None:
        try:
            reply = await self._client.ask(query, 0, self._address or 0)
            self._answers[query] = parse(reply.body, pick_of(query))
        except CancelledError:
            raise
        except Exception as error:
            self._answers[query] = error

    async def _evaluate(self, mapping: Mapping) -> None:
        spec = failover_spec(mapping)
        usable = False
        lines = []
        for selection in spec.selections:
            line, serves = await self._look(selection)
            lines.append((line, serves))
            usable = usable or serves
        for line, serves in lines:
            # With several datacenters, one of them may have no instance.
            self._tell(mapping, line, serves or usable or mapping.allow_empty)
        if spec.fallback is not None and not spec.fallback.query.fixed:
            line, serves = await self._look(spec.fallback)
            self._tell(mapping, f"its fallback: {line}", serves)

    def _tell(self, mapping: Mapping, line: str, is_well: bool) -> None:
        (self.found if is_well else self.problems).append(f"{mapping}: {line}")

    async def _look(self, selection: PoolSpec) -> tuple[str, bool]:
        """A line about a pool, and whether one of its instances is usable."""
        query = selection.query
        answer = self._answers[query]
        if isinstance(answer, Exception):
            if NO_DATACENTER in str(answer):
                return await self._hints.about_datacenter(query), False
            return f"no answer for {query}: {_words(answer)}", False
        if not answer.instances and not answer.skipped:
            return await self._hints.about_service(query), False
        skipped = [str(each) for each in answer.skipped]
        why = why_empty(answer.instances, selection.rules, skipped=skipped)
        return (f"{query}: {why}", False) if why else (_counts(selection, answer), True)


def _counts(selection: PoolSpec, answer: Catalog) -> str:
    """The number of instances per standing, as text."""
    verdicts = [evaluate(each, selection.rules) for each in answer.instances]
    counts = Counter(
        "without the tag" if each.is_unselected else each.standing.value
        for each in verdicts
    )
    counts["left out"] = len(answer.skipped)
    serving = counts.pop(Standing.SERVING.value)
    others = "".join(f", {count} {what}" for what, count in counts.items() if count)
    return f"{selection.query}: {serving} serving{others}"


def _words(error: BaseException) -> str:
    return fit(in_words(error), _LONGEST)
