"""Wakes one of the processes that share a listening socket, not all, for a client."""

import select
from typing import Any

from twisted.internet.interfaces import IReactorFDSet


def wake_one(reactor: IReactorFDSet, descriptor: int) -> bool:
    """Have the kernel wake one of the processes that wait for this descriptor.

    The reactor reads it already; the effect lasts until it no longer does.  A process
    that does not wait, since it is busy, stopped or hung, is passed over.  Returns
    false, and changes nothing, where that is impossible: it takes epoll, and a kernel
    with EPOLLEXCLUSIVE (epoll_ctl(2)).

    An epoll nested in the reactor's would not do: no process waits for the inner one,
    so that the kernel passes over all of them and wakes each.
    """
    # Twisted has no public name for it.
    epoll: Any = getattr(reactor, "_poller", None)
    if type(epoll) is not getattr(select, "epoll", None):
        return False
    epoll.unregister(descriptor)  # it cannot be modified (epoll_ctl(2))
    try:
        epoll.register(descriptor, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    except OSError:  # Linux before 4.5, and sandboxes that emulate it
        epoll.register(descriptor, select.EPOLLIN)
        return False
    return True
