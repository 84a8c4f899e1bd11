"""Errors that an operator can act on: one class for each.

The text of an error is one line, shown as it stands: what is wrong, where, and
what would be right.
"""


class LBConsulError(Exception):
    """The base class of all errors that lbconsul itself detects."""


class ConfigError(LBConsulError):
    """An option, a mapping, a file or an environment variable is not valid."""


class CannotListen(LBConsulError):
    """A listening socket cannot be opened: the text names address and mapping."""


class UnusableAnswer(LBConsulError):
    """Consul answered, but not with a valid list of instances."""


class Forbidden(UnusableAnswer):
    """Consul answered 403: the ACL token is missing, wrong or too weak."""


class NotFound(UnusableAnswer):
    """Consul answered 404: it has no such thing."""


class NoUpstream(LBConsulError):
    """Every upstream of the service has been tried, or there is none."""


class AllFull(NoUpstream):
    """Every upstream is at its connection limit."""


class NoWorkers(LBConsulError):
    """This host cannot run worker processes; a single process works."""


class CannotTakeOver(LBConsulError):
    """The running gateway cannot be taken over from; it keeps serving."""


class CannotOrder(LBConsulError):
    """An operator's order on an upstream cannot be carried out: the text says why."""


class CannotExplain(LBConsulError):
    """No mapping can have the request, or it is no request: the text says why."""


class CannotReload(LBConsulError):
    """The gateway cannot reload: it is not running yet, or it is shutting down."""
