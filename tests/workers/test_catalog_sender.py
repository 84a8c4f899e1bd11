"""Which messages one worker gets, and when."""

import pytest
from attrs import Factory, define

from lbconsul.balance.events import Change
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import TLS
from lbconsul.proxy.live_routes import RowChanges
from lbconsul.tls.material import Material, PEMText
from lbconsul.workers.catalog_sender import CatalogSender
from lbconsul.workers.messages import (
    Amend,
    CatalogChunk,
    CertificatesChunk,
    Command,
    SyncComplete,
    read_command,
)
from lbconsul.workers.published_certificates import PublishedCertificates
from lbconsul.workers.slots import Slots
from lbconsul.workers.versioned_catalog import CUT, VersionedCatalog
from tests.support.instances import an_instance, instances

WEB, MAIL = ServiceQuery("web"), ServiceQuery("mail")
A, B, C = instances("a", "b", "c")
MANY = tuple(an_instance(str(number)) for number in range(CUT + 1))


@define(eq=False)
class Reader:
    """A worker's end: what it got, and how much of it before it stops to read."""

    ledger: VersionedCatalog = Factory(lambda: VersionedCatalog(Slots(5000)))
    got: list[Command] = Factory(list)
    patience: int = 1_000_000
    outbox: CatalogSender = Factory(
        lambda self: CatalogSender(self.ledger, self.write), takes_self=True
    )

    def write(self, data: bytes) -> None:
        self.got.append(read_command(data))
        self.patience -= 1
        if not self.patience:
            self.outbox.pause()

    def change(self, query: ServiceQuery, *joined: Instance) -> None:
        delta = self.ledger.change(query, Change(joined))
        assert delta is not None
        self.outbox.changed(delta)

    def parts(self) -> list[tuple[str, int, bool, int, bool]]:
        """Of each part: the service, how many, whether whole, version, whether last."""
        told = []
        for each in self.got:
            assert isinstance(each, CatalogChunk)
            size = len(each.put)
            told.append((each.query.service, size, each.whole, each.version, each.last))
        self.got.clear()
        return told


@pytest.fixture
def reader() -> Reader:
    """A worker that knows nothing."""
    return Reader()


def test_all_at_the_start(reader: Reader) -> None:
    """A new worker hears all that is known; only with the last it is up to date.

    Then it hears that this was all, once.
    """
    for query in (WEB, MAIL):
        reader.ledger.change(query, Change((A, B)))
    reader.outbox.begin()
    assert reader.got.pop() == SyncComplete()
    assert reader.parts() == [("web", 2, True, 0, True), ("mail", 2, True, 2, True)]


def test_nothing_known(reader: Reader) -> None:
    """Before any answer there is nothing to hear, and so it is said."""
    reader.outbox.begin()
    assert reader.got == [SyncComplete()]


def test_complete_at_last(reader: Reader) -> None:
    """
    A worker that does not read gets the end of the sync when it does, and not before.
    """
    reader.patience = 1
    for query in (WEB, MAIL):
        reader.ledger.change(query, Change((A, B)))
    reader.outbox.begin()
    reader.change(MAIL, C)
    assert [type(each) for each in reader.got] == [CatalogChunk]
    reader.outbox.resume()
    assert [type(each) for each in reader.got] == [
        CatalogChunk,
        CatalogChunk,
        SyncComplete,
    ]


def test_certificates(reader: Reader) -> None:
    """Certificates come before the mappings that need them, and as often as they
    change.
    """
    published, order = PublishedCertificates(), list[str]()
    one, two = TLS("/one"), TLS("/two")
    for each in (one, two):
        published.put(each, Material((PEMText("web: tls", "a", b"text"),)))

    def write(data: bytes) -> None:
        command = read_command(data)
        tls = command.tls.certificates if isinstance(command, CertificatesChunk) else ""
        order.append(tls or type(command).__name__)

    sender = CatalogSender(
        reader.ledger, write, lambda: order.append("mappings"), published
    )
    sender.begin()
    assert order == ["/one", "/two", "mappings", "SyncComplete"]
    order.clear()
    sender.pause()
    for _ in range(3):
        sender.certificates_changed(two)
    sender.altered()
    published.keep_only([two])
    sender.certificates_changed(one)
    assert order == []
    sender.resume()
    assert order == ["/two", "mappings"]


def test_a_closed_sender(reader: Reader) -> None:
    """A closed sender sends nothing, whether pending, late or new."""
    reader.patience = 1
    reader.change(WEB, *MANY)
    reader.change(MAIL, A)
    reader.outbox.close()
    reader.outbox.resume()
    reader.change(WEB, A)
    reader.outbox.resume()
    assert len(reader.got) == 1


def test_changes(reader: Reader) -> None:
    """From then on it hears of each change as it comes."""
    reader.outbox.begin()
    reader.got.clear()
    reader.change(WEB, A)
    reader.change(WEB, B)
    assert reader.parts() == [("web", 1, True, 1, True), ("web", 1, False, 2, True)]


def test_who_does_not_read(reader: Reader) -> None:
    """
    A worker that does not read gets the latest state later, once, however much
    happened.
    """
    reader.change(WEB)
    reader.outbox.pause()
    for number in range(100):
        reader.change(WEB, an_instance(str(number)))
    reader.change(MAIL, A)
    assert reader.parts() == [("web", 0, True, 1, True)]
    reader.outbox.resume()
    assert reader.parts() == [
        ("web", 100, True, 1, True),
        ("mail", 1, True, 102, True),
    ]
    reader.change(WEB, A)
    assert reader.parts() == [("web", 1, False, 103, True)]


def test_in_the_middle(reader: Reader) -> None:
    """A change that is on its way is finished first, and another one comes after."""
    reader.patience = 1
    reader.change(WEB, *MANY)
    assert reader.parts() == [("web", CUT, True, 1, False)]
    reader.change(WEB, A)
    reader.change(MAIL, B)
    assert reader.parts() == []
    reader.outbox.resume()
    assert reader.parts() == [
        ("web", 1, True, 1, True),
        ("web", CUT, True, 1, False),
        ("web", 2, True, 1, True),
        ("mail", 1, True, 3, True),
    ]


def test_stops_again(reader: Reader) -> None:
    """A worker is never sent more than a part beyond what it reads."""
    reader.patience = 1
    reader.change(WEB, *MANY)
    reader.change(MAIL, B)
    for expected in ([("web", 1, True, 1, True)], [("mail", 1, True, 2, True)], []):
        reader.parts()
        reader.patience = 1
        reader.outbox.resume()
        assert reader.parts() == expected


def test_what_it_serves(reader: Reader) -> None:
    """
    The listeners come before the answers, and once, however often they change while the
    worker does not read.
    """
    served: list[int] = []
    reader.outbox = CatalogSender(reader.ledger, reader.write, lambda: served.append(1))
    reader.outbox.begin()
    assert (len(served), reader.got) == (1, [SyncComplete()])
    reader.outbox.altered()
    assert len(served) == 2
    reader.outbox.pause()
    for _ in range(5):
        reader.outbox.altered()
    assert len(served) == 2
    reader.outbox.resume()
    assert len(served) == 3
    reader.outbox.close()
    reader.outbox.altered()
    assert len(served) == 3


def test_rows_that_come_and_go(reader: Reader) -> None:
    """
    A worker hears of each change of rows; of all rows once, however often they change
    while it does not read, and again if they change while it hears of them.
    """
    first, second, change = (Amend(each, RowChanges(None), {}) for each in range(3))
    reader.outbox = CatalogSender(
        reader.ledger,
        reader.write,
        lambda: reader.outbox.amended(change),
        all_rows=lambda: iter((first, second)),
    )
    reader.outbox.begin()
    assert reader.got == [first, second, SyncComplete()]
    reader.got.clear()
    reader.outbox.amended(change)
    assert reader.got == [change]
    reader.got.clear()
    reader.outbox.pause()
    for _ in range(5):
        reader.outbox.amended(change)
    assert reader.got == []
    reader.patience = 1
    reader.outbox.resume()
    assert reader.got == [first]
    reader.outbox.amended(change)
    reader.outbox.resume()
    assert reader.got == [first, second, first, second]
    reader.outbox.close()
    reader.outbox.amended(change)
    assert len(reader.got) == 4


def test_query_gone(reader: Reader) -> None:
    """The end of a query is sent like any change, in its turn."""
    reader.change(WEB, A)
    reader.outbox.pause()
    reader.change(MAIL, B)
    for query in (WEB, MAIL):
        delta = reader.ledger.forget(query)
        assert delta is not None
        reader.outbox.changed(delta)
    reader.got.clear()
    reader.outbox.resume()
    gone = [(each.query, each.gone, each.version) for each in reader.got]  # type: ignore[union-attr]
    assert gone == [(MAIL, True, 1), (WEB, True, 4)]
    delta = reader.ledger.change(MAIL, Change((B,)))
    assert delta is not None
    reader.got.clear()
    reader.outbox.changed(delta)
    assert reader.parts() == [("mail", 1, True, 5, True)]
