"""Documents of ``/status`` to alter, as a client parses them."""

import json
from typing import Any

from lbconsul.admin.status_json import status
from tests.support.fake_source import fake_source

NOW = 1_760_000_000.0


def document(upstreams: int = 12, state: str = "ok", *, http: bool = False) -> Any:
    """The status of a made-up gateway, all of whose upstreams serve.

    With `http` its first mapping, 80:web, is in HTTP mode.
    """
    source = fake_source(lambda: NOW, upstreams, state)
    if http:
        source.speak_http()
    found = json.loads(b"".join(status(source)))
    for mapping in found["mappings"]:
        for pool in mapping["pools"]:
            for each in pool["upstreams"]:
                each |= {"standing": "serving", "reason": "passing"}
    return found


def upstream(
    found: Any, number: int = 0, *, mapping: int = 0, pool: int = 0, **fields: Any
) -> Any:
    """One of its upstreams, with these fields from now on."""
    some = found["mappings"][mapping]["pools"][pool]["upstreams"][number]
    some |= fields
    return some
