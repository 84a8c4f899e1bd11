"""What can go wrong that an operator can act on: one class for each.

The text of an error is one line that says what is wrong, where, and what
would be right; it is shown as it stands.
"""


class LBConsulError(Exception):
    """Anything that lbconsul itself decided is wrong."""


class ConfigError(LBConsulError):
    """An option, a mapping, a file or a variable does not say what it must."""


class CannotListen(LBConsulError):
    """A listening socket could not be had: the address and the mapping say which."""


class UnusableAnswer(LBConsulError):
    """Consul answered, but not with a list of instances that may be believed."""


class Forbidden(UnusableAnswer):
    """Consul answered 403: the ACL token is missing, wrong or too weak."""


class NoUpstream(LBConsulError):
    """Every upstream of the service has been tried, or there is none."""


class AllFull(NoUpstream):
    """There are upstreams, all of which have as many connections as they may."""


class NoWorkers(LBConsulError):
    """Worker processes cannot be had here; a single process can."""


class CannotTakeOver(LBConsulError):
    """The gateway that runs cannot be taken over from; it goes on."""


class CannotOrder(LBConsulError):
    """An order to an upstream cannot be carried out now: the text says why."""


class CannotReload(LBConsulError):
    """It is no time for another configuration: the gateway does not run, or ends."""
