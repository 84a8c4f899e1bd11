"""What HTTP sessions of a mapping share."""

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
