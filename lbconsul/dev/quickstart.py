"""Commands to try next, to paste into another terminal, and what they show."""

import json
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import quote

TEXT = """\
Watch who answers, over and over:

    curl {front}:{port}/

Start a web server of your own, and register it as one more {service}:

    python3 -m http.server 9000 &
    curl -X PUT -d {mine} {catalog}/v1/agent/service/register

It gets its share from now on.  Put it into maintenance, and take it back:

    curl -X PUT '{catalog}/v1/agent/service/maintenance/mine?enable=true&reason=lunch'
    curl -X PUT '{catalog}/v1/agent/service/maintenance/mine?enable=false'

Give it a check, fail that, and pass it again:

    curl -X PUT -d {works} {catalog}/v1/agent/check/register
    curl -X PUT '{catalog}/v1/agent/check/fail/works?note=on+fire'
    curl -X PUT {catalog}/v1/agent/check/pass/works

Take it out, and see what the catalog says of those that remain:

    curl -X PUT {catalog}/v1/agent/service/deregister/mine
    curl {catalog}/v1/health/service/{path}
"""
CHECK = {"Name": "works", "ServiceID": "mine", "TTL": "1h", "Status": "passing"}


def what_to_try(
    listening: Sequence[int],
    catalog: int,
    service: str,
    host: str = "127.0.0.1",
    *,
    tls: bool = False,
) -> str:
    """Commands that work unchanged with the gateway's ports and its catalog.

    `service` is behind the first of the ports, with TLS if `tls`; `host` is the
    catalog's.
    """
    base = f"http://[{host}]:{catalog}" if ":" in host else f"http://{host}:{catalog}"
    shown = TEXT.format(
        # The certificate need not name this machine.
        front="--insecure https://localhost" if tls else "http://localhost",
        port=listening[0],
        catalog=base,
        service=service,
        path=quote(service),
        mine=_argument({"Name": service, "ID": "mine", "Port": 9000}),
        works=_argument(CHECK),
    )
    others = ", ".join(str(port) for port in listening[1:])
    return f"{shown}\nAlso listening: {others}\n" if others else shown


def _argument(body: Mapping[str, object]) -> str:
    """JSON as one argument of a shell command."""
    return shlex.quote(json.dumps(body))
