"""Ask an HTTP API one blocking question, from outside, with no Twisted in it."""

import json
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPConnection
from typing import Any

from tests.support.waiting import PATIENCE

Answer = tuple[int, Message, Any]


def ask(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> Answer:
    """Status, headers and body of one answer: parsed if it is JSON, else text.

    A `body` of bytes is sent as it is, anything else but None as JSON.
    """
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, sent, dict(headers or {}))
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, response.headers, json.loads(text) if is_json else text
