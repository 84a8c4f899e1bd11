"""Which process accepts first from a queue that several share."""

from twisted.internet.task import Clock

from lbconsul.proxy.accept_balancer import GIVE_WAY, OUR_TURN, AcceptBalancer


class Queue:
    """A process with the same queue, which is overloaded or not."""

    def __init__(self, is_overloaded: bool = True) -> None:
        self.clock = Clock()
        self.is_overloaded = is_overloaded
        self.calls = 0
        self.courtesy = AcceptBalancer(
            self.clock, lambda: self.is_overloaded, self.go_on
        )

    def go_on(self) -> None:
        self.calls += 1


def test_not_ahead() -> None:
    """A process with no more connections than the others goes on."""
    queue = Queue(is_overloaded=False)
    assert not queue.courtesy.should_yield()
    assert queue.clock.getDelayedCalls() == []


def test_ahead() -> None:
    """A process with more lets the others go first for a moment, once per turn."""
    queue = Queue()
    assert queue.courtesy.should_yield()
    assert queue.courtesy.is_waiting
    queue.clock.advance(GIVE_WAY)
    assert (queue.calls, queue.courtesy.is_waiting) == (1, False)
    assert not queue.courtesy.should_yield()
    assert queue.courtesy.should_yield()


def test_turn_that_was_not_needed() -> None:
    """For a client that comes later the process yields again."""
    queue = Queue()
    queue.courtesy.should_yield()
    queue.clock.advance(GIVE_WAY)
    queue.clock.advance(OUR_TURN)
    assert queue.courtesy.should_yield()


def test_stop_leaves_no_timer() -> None:
    """Nothing is left of it."""
    queue = Queue()
    queue.courtesy.should_yield()
    queue.courtesy.stop()
    assert not queue.courtesy.is_waiting
    assert queue.clock.getDelayedCalls() == []
    queue.courtesy.stop()
