"""What the web servers count, and what is registered with Consul."""

from bench import stage

PAGE = """Active connections: 291
server accepts handled requests
 16630948 16630948 31070465
Reading: 6 Writing: 179 Waiting: 106
"""


def test_the_status_page() -> None:
    """Open connections, and the requests of all connections together."""
    assert stage.parse_status(PAGE) == stage.Seen(291, 16630948, 31070465)


def test_an_instance_is_one_operation() -> None:
    """An instance is registered on a node that no agent tidies up."""
    operation = stage.instance("web", 3, 8080, weight=2)["Service"]
    assert operation["Node"] == stage.NODE
    assert operation["Service"]["ID"] == "web-3"
    assert operation["Service"]["Weights"]["Passing"] == 2
    check = stage.check("web", 3, "critical")["Check"]["Check"]
    assert check["ServiceID"] == "web-3"
