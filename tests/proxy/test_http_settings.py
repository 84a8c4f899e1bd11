"""What HTTP sessions of a mapping share."""

from typing import Any

import pytest

from lbconsul.config.rewriting import ErrorPage
from tests.support.http_stage import GET, OK, HTTPStage


def test_each_request_has_a_name_of_its_own() -> None:
    """No two requests have the same X-Request-ID."""
    with HTTPStage() as stage:
        client = stage.client()
        names = set()
        client.say(GET)
        upstream = stage.upstream()
        for _ in range(3):
            [name] = [
                each
                for each in upstream.hear().split(b"\r\n")
                if each.startswith(b"X-Request-ID: ")
            ]
            names.add(name)
            upstream.say(OK)
            client.hear_message()
            client.say(GET)
        assert len(names) == 3


def test_a_page_that_is_gone_is_replaced_by_an_answer_of_our_own() -> None:
    """A file of `error-page` that cannot be read any more costs its page alone."""
    pages = (ErrorPage(503, "/nowhere/page.html"),)
    with HTTPStage(error_page=pages) as stage:
        stage.refuse()
        client = stage.client()
        client.say(GET)
        head, body = client.hear_message()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"503 Service Unavailable" in body


@pytest.mark.parametrize("option", ["via", "server_timing"])
def test_one_field_that_clients_get(option: str) -> None:
    """Clients get no other field of lbconsul's than the operator wants."""
    options: dict[str, Any] = {option: True}
    with HTTPStage(**options) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        head, _ = client.hear_message()
        assert (b"\r\nVia: " in head) == (option == "via")
        assert (b"\r\nServer-Timing: " in head) == (option == "server_timing")
