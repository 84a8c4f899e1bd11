"""The generator of a fixed rate, over a server that stalls."""

import socket
import threading
import time

import pytest

from bench.fixed_rate import Generator, quantile

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100


def serve(listener: socket.socket, stall: float) -> None:
    """Answer on one connection, the second time only after `stall` seconds."""
    connection, _ = listener.accept()
    with connection:
        for number in range(1000):
            if not connection.recv(4096):
                return
            if number == 1:
                time.sleep(stall)
            connection.sendall(ANSWER)


def test_requests_that_had_to_wait_count_their_wait() -> None:
    """
    A server that stalls makes every request slow that was due meanwhile, not only the
    pending one: none is left out because it was not sent.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, 0.3))
        thread.start()
        generator = Generator(listener.getsockname()[1], 1)
        generator.run(100, 0.3)
        generator.close()
        thread.join()
    assert len(generator.latencies) == 30
    # The last one was due at 0.29 s, the first one answered at 0.3 s or later.
    assert sum(each > 0.005 for each in generator.latencies) > 25
    assert max(generator.latencies) >= 0.3


def test_a_server_that_hangs_up_is_an_error() -> None:
    """A closed connection is not counted as an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with pytest.raises((RuntimeError, ConnectionError)):
            Generator(port, 1)
        thread.join()


def test_quantiles() -> None:
    """Of a hundred values the median has half below it."""
    values = [float(each) for each in range(100)]
    assert quantile(values, 0.5) == 50
    assert quantile(values, 0.99) == 99
    assert quantile([7.0], 0.99) == 7
