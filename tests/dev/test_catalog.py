"""The indexes of the dev catalog, and what it lists."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.catalog import Catalog
from lbconsul.dev.http import HTTPError
from lbconsul.dev.records import Check, Node, Service

NODE = Node("n", "10.0.0.1")
WEB = Service("n", "web-1", "web")


class CatalogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.catalog = Catalog()
        self.command(self.catalog.put_node, NODE)

    def command(self, put: object, *args: object) -> None:
        self.catalog.command()
        assert callable(put)
        put(*args)

    def index(self, name: str = "web") -> int:
        return self.catalog.instances(name)[0]

    def test_an_empty_catalog(self) -> None:
        """
        Nothing has happened to a catalog in which nothing is.
        """
        self.assertEqual(Catalog().instances("web"), (0, []))
        self.assertEqual(Catalog().nodes(), (0, []))
        self.assertEqual(Catalog().service_tags(), (0, {}))

    def test_one_command_has_one_index(self) -> None:
        """One command's objects share an index, and unchanged ones keep theirs."""
        self.catalog.command()
        self.catalog.put_service(WEB)
        self.catalog.put_check(Check("n", "c", "c", service_id="web-1"))
        self.command(self.catalog.put_service, WEB)
        self.command(self.catalog.put_check, Check("n", "c", "c", service_id="web-1"))
        index, (instance,) = self.catalog.instances("web")
        self.assertEqual(index, 2)
        self.assertEqual(instance.service.modified, 2)
        self.assertEqual([row.created for row in instance.checks], [2])

    def test_a_node_moves_all_its_services(self) -> None:
        """
        A change of a node, or of a check of it, touches its services, and no service of
        another node.
        """
        self.command(self.catalog.put_service, WEB)
        self.command(self.catalog.put_node, Node("m", "10.0.0.2"))
        self.command(self.catalog.put_service, Service("m", "db", "db"))
        self.command(self.catalog.put_node, evolve(NODE, address="10.0.0.9"))
        self.assertEqual((self.index("web"), self.index("db")), (5, 4))
        self.command(self.catalog.put_check, Check("n", "disk", "disk"))
        self.assertEqual((self.index("web"), self.index("db")), (6, 4))
        self.command(self.catalog.drop_check, "n", "disk")
        self.assertEqual((self.index("web"), self.index("db")), (7, 4))

    def test_a_check_moves_its_service_only(self) -> None:
        """
        A check of one service is nothing to the other services of the node.
        """
        self.command(self.catalog.put_service, WEB)
        self.command(self.catalog.put_service, Service("n", "db", "db"))
        self.command(self.catalog.put_check, Check("n", "c", "c", service_id="web-1"))
        self.assertEqual((self.index("web"), self.index("db")), (4, 3))
        self.command(self.catalog.drop_check, "n", "c")
        self.assertEqual((self.index("web"), self.index("db")), (5, 3))

    def test_services_without_instances(self) -> None:
        """
        They have the index of whatever changed last, until a service loses its
        last instance: from then on that of the last such loss.
        """
        self.command(self.catalog.put_service, WEB)
        self.assertEqual(self.index("nowhere"), 2)
        self.command(self.catalog.put_check, Check("n", "disk", "disk"))
        self.assertEqual(self.index("nowhere"), 3)
        self.command(self.catalog.drop_service, "n", "web-1")
        self.assertEqual((self.index("nowhere"), self.index("web")), (4, 4))
        self.command(self.catalog.put_service, WEB)
        self.assertEqual((self.index("nowhere"), self.index("web")), (4, 5))

    def test_what_is_not_there_is_not_lost(self) -> None:
        """
        To drop what is unknown changes nothing.
        """
        self.command(self.catalog.put_service, WEB)
        for drop in (self.catalog.drop_service, self.catalog.drop_check):
            self.command(drop, "n", "nowhere")
        self.command(self.catalog.drop_node, "nowhere")
        self.assertEqual(self.index(), 2)
        self.assertEqual(self.catalog.nodes()[0], 1)

    def test_a_node_goes_with_all_that_is_on_it(self) -> None:
        """
        A node takes its services and its checks along, and leaves others alone.
        """
        self.command(self.catalog.put_service, WEB)
        self.command(self.catalog.put_check, Check("n", "disk", "disk"))
        self.command(self.catalog.put_node, Node("m", "10.0.0.2"))
        self.command(self.catalog.put_service, Service("m", "web-1", "web"))
        self.command(self.catalog.put_check, Check("m", "disk", "disk"))
        self.command(self.catalog.drop_node, "n")
        _, (left,) = self.catalog.instances("web")
        self.assertEqual((left.node.value.name, len(left.checks)), ("m", 1))
        self.assertFalse(self.catalog.knows_node("n"))

    def test_order_of_instances_and_checks(self) -> None:
        """
        Instances come by their node and id; their checks come by id, those of
        the node before their own.
        """
        for service in ("b", "a"):
            self.command(self.catalog.put_service, Service("n", service, "web"))
        for check, service in (("z", ""), ("b", "a"), ("a", "a"), ("y", "")):
            self.command(
                self.catalog.put_check, Check("n", check, "", service_id=service)
            )
        _, found = self.catalog.instances("web")
        self.assertEqual([one.service.value.id for one in found], ["a", "b"])
        ids = [[row.value.id for row in one.checks] for one in found]
        self.assertEqual(ids, [["y", "z", "a", "b"], ["y", "z"]])

    def test_a_check_of_nothing(self) -> None:
        """
        A check of a service that is not there cannot be registered.
        """
        stray = Check("n", "c", "c", service_id="nowhere")
        with self.assertRaises(HTTPError):
            self.command(self.catalog.put_check, stray)
