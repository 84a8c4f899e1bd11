"""System calls are counted from strace's summary."""

from bench.system_calls import count

SUMMARY = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 58.07    0.074215          37      2000           sendto
 22.50    0.028757           9      3001      1000 recvfrom
 19.43    0.024832          12      2002           epoll_wait
  0.00    0.000001           1        10           clock_gettime
------ ----------- ----------- --------- --------- ----------------
100.00    0.127804          18      7013      1000 total
"""


def test_calls_that_wait_are_left_out() -> None:
    """What the event loop calls for all connections together is none of a request's."""
    assert count(SUMMARY) == 2000 + 3001
