"""The process's limit of descriptors, and how many connections it allows."""

import resource

#: select(2) supports only descriptors below this number.
OF_SELECT = 1024

#: The highest limit that is set: programs that close all descriptor numbers in a
#: loop would take long with a higher one.
MOST = 1 << 20

#: Descriptors that are not connections: listeners, Consul, logs, pipes.  At most a
#: quarter of the limit is kept for them.
_SPARE = 200


def raise_descriptor_limit(bound: int = MOST) -> int:
    """Raise the soft limit to the hard one (getrlimit(2)), or to `bound`.

    Return the number of descriptors that the process can use then.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    known, most = (MOST if n == resource.RLIM_INFINITY else n for n in (soft, hard))
    most = min(most, bound, MOST)
    if known < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def descriptor_limit() -> int:
    """The soft limit of descriptors, at most `MOST`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)


def connections(descriptors: int) -> int:
    """The number of connections that `descriptors` allow; each takes two."""
    spare = min(_SPARE, descriptors // 4)
    return max(1, (descriptors - spare) // 2)
