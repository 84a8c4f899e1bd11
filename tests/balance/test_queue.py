"""The queue: first come, first served."""

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.queue import Queue


def test_first_come_first_served() -> None:
    """Clients get their turn in the order in which they came."""
    queue: Queue[str] = Queue(10)
    assert [queue.join(name) for name in "abc"] == [True] * 3
    served = []
    while (first := queue.first()) is not None:
        served.append(first)
        queue.leave(first)
    assert served == ["a", "b", "c"]


def test_bounded() -> None:
    """When so many wait, the next one does not; nor does anybody in a queue of none."""
    queue: Queue[str] = Queue(2)
    assert [queue.join(name) for name in "abc"] == [True, True, False]
    assert len(queue) == 2
    queue.leave("a")
    assert queue.join("c")
    assert not Queue[str](0).join("a")


def test_who_leaves_twice() -> None:
    """Who was served, or is no more, can leave once more: nobody else does."""
    queue: Queue[str] = Queue(2)
    queue.join("a")
    queue.leave("a")
    queue.leave("a")
    assert (len(queue), queue.first()) == (0, None)


def test_who_comes_back() -> None:
    """Who left and comes again stands behind those who stayed."""
    queue: Queue[str] = Queue(3)
    for name in "ab":
        queue.join(name)
    queue.leave("a")
    queue.join("a")
    assert queue.first() == "b"


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "serve"]), st.integers(0, 9))
)


@given(length=st.integers(0, 5), steps=STEPS)
def test_as_a_list_would(length: int, steps: list[tuple[str, int]]) -> None:
    """However clients come, go and are served, it is as fair as a plain list."""
    queue: Queue[int] = Queue(length)
    model: list[int] = []
    for step, client in steps:
        if step == "serve":
            first = queue.first()
            assert first == (model[0] if model else None)
            if first is not None:
                queue.leave(first)
                model.pop(0)
        elif step == "leave":
            queue.leave(client)
            model = [each for each in model if each != client]
        elif client not in model:
            has_room = len(model) < length
            assert queue.join(client) is has_room
            model += [client] if has_room else []
        assert len(queue) == len(model)
