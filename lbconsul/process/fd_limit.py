"""How many descriptors the process may have."""

import resource

#: select(2) knows no higher numbers.
OF_SELECT = 1024

#: More than this is asked for by nobody: what runs through all numbers to close
#: them, as some programs do, would take its time.
MOST = 1 << 20

#: Descriptors that are not connections: listeners, Consul, logs, pipes.  So many,
#: or the fourth part of a few.
_SPARE = 200


def raise_descriptor_limit(bound: int = MOST) -> int:
    """Raise the soft limit to the hard one (getrlimit(2)), or to `bound`.

    How many descriptors are of use then.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    known, most = (MOST if n == resource.RLIM_INFINITY else n for n in (soft, hard))
    most = min(most, bound, MOST)
    if known < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def descriptor_limit() -> int:
    """How many descriptors we may have as it is."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)


def connections(descriptors: int) -> int:
    """How many connections that is enough for: each takes two."""
    spare = min(_SPARE, descriptors // 4)
    return max(1, (descriptors - spare) // 2)
