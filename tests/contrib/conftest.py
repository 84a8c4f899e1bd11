"""What the tests of contrib/ share."""

from tests.end_to_end.conftest import (  # noqa: F401
    registrar,
    servers,
    service,
    start_servers,
)
