"""What long answers are made of."""

from chaos import stream_server


def test_parts_make_the_whole() -> None:
    """In whatever steps it is sent."""
    size = 3 * len(stream_server.BLOCK) + 100
    whole = stream_server.content(size)
    assert len(whole) == size
    step = 10_007
    parts = [stream_server._part(begin, step) for begin in range(0, size, step)]
    assert b"".join(parts)[:size] == whole


def test_digests_tell_contents_apart() -> None:
    """One byte is enough."""
    whole = stream_server.content(1000)
    assert stream_server.digest(whole) != stream_server.digest(whole[:-1])
