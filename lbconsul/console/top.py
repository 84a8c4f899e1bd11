"""``lbconsul top``."""

import sys

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.console.status import status
from lbconsul.console.terminal import is_dumb, is_terminal
from lbconsul.errors import ConfigError
from lbconsul.usage.words import Given

_INSTALL = "top: needs Textual: pip install 'lbconsul[tui]'"


def top(admin: Admin, given: Given) -> int:
    """Show a gateway live, until the operator ends it.

    :raises ConfigError: there is no terminal, or no Textual.
    :raises CannotAsk: the gateway does not answer at first.
    """
    if not is_terminal() or not sys.stdin.isatty():
        raise ConfigError("top: needs a terminal; status prints the same as text")
    if is_dumb():
        print("lbconsul: top: TERM=dumb has no cursor: status --watch", file=sys.stderr)
        return status(admin, Given({**given.options, "watch": [""]}, ()))
    try:
        from lbconsul.top.app import Top
    except ImportError as error:
        if (error.name or "").split(".")[0] in ("textual", "rich"):
            raise ConfigError(_INSTALL) from None
        raise
    document = admin.status()
    try:
        app = Top(admin, document)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise CannotAsk(
            f"{admin.address}: the answer is not a status of lbconsul"
        ) from None
    app.run()
    return app.return_code or 0
