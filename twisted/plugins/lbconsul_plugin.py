"""Teach twistd the word lbconsul.

Strings only: whatever is imported here is imported by every twistd command.
"""

from twisted.application.service import ServiceMaker

lbconsul = ServiceMaker(
    "lbconsul",
    "lbconsul.start",
    "Balance TCP ports over what Consul calls healthy.",
    "lbconsul",
)
