"""HAProxy, nginx and servers of applications, as peers of what is tested."""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually

#: Where Debian puts nginx's stream module; elsewhere it may be built in.
_STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

_HAPROXY = """
global
    nbthread 1
    log stdout format raw local0
defaults
    log global
    timeout connect 20s
    timeout client 20s
    timeout server 20s
"""

_NGINX = """
{load}
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/nginx.log info;
events {{ worker_connections 1000; }}
{kind} {{
    {more}
    server {{ listen 127.0.0.1:{port} {config} }}
}}
"""

#: Files of nginx's http module belong in its home; it may be run by root.
_HTTP = """
    access_log off;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
"""


@contextmanager
def haproxy(home: Path, config: str, *sockets: socket.socket) -> Iterator[None]:
    """Run HAProxy with these sections, which name the sockets as ``fd@NUMBER``.

    Those listen already, so that a client may connect at once.
    """
    file = home / "haproxy.cfg"
    file.write_text(f"{_HAPROXY}{config}\n")
    command = [needed("haproxy"), "-db", "-f", str(file)]
    with _running(home, command, [each.fileno() for each in sockets]):
        yield


@contextmanager
def nginx_stream(home: Path, config: str) -> Iterator[tuple[str, int]]:
    """Run nginx with one server of its stream module; where it listens.

    `config` follows that address: options of ``listen``, and directives.
    """
    load = f"load_module {_STREAM};" if _STREAM.exists() else ""
    with _nginx(home, config, kind="stream", load=load, more="") as address:
        yield address


@contextmanager
def nginx_http(home: Path, config: str) -> Iterator[tuple[str, int]]:
    """Run nginx with one HTTP server; `config` is as for `nginx_stream`."""
    load = "" if os.geteuid() else "user root;"
    more = _HTTP.format(home=home)
    with _nginx(home, config, kind="http", load=load, more=more) as address:
        yield address


@contextmanager
def _nginx(home: Path, config: str, **parts: str) -> Iterator[tuple[str, int]]:
    program = needed("nginx")
    (port,) = free_ports(1)
    file = home / "nginx.conf"
    file.write_text(_NGINX.format(home=home, port=port, config=config, **parts))
    command = [program, "-e", str(home / "nginx.log"), "-c", str(file)]
    with _serving(home, command, port) as address:
        yield address


@contextmanager
def gunicorn(home: Path, module: Path) -> Iterator[tuple[str, int]]:
    """Run gunicorn, with threads, with the application of a file; where it listens."""
    (port,) = free_ports(1)
    command = [needed("gunicorn"), "--chdir", str(module.parent), "--threads", "4"]
    command += ["--bind", f"127.0.0.1:{port}", f"{module.stem}:application"]
    with _serving(home, command, port) as address:
        yield address


@contextmanager
def node(home: Path, script: Path) -> Iterator[tuple[str, int]]:
    """Run Node with a script that listens on the port that it is told."""
    (port,) = free_ports(1)
    command = [needed("node", "nodejs"), str(script), str(port)]
    with _serving(home, command, port) as address:
        yield address


@contextmanager
def _serving(
    home: Path, command: Sequence[str], port: int
) -> Iterator[tuple[str, int]]:
    with _running(home, command, ()) as process:
        address = ("127.0.0.1", port)
        what = Path(command[0]).name
        eventually(lambda: process.poll() is not None or _listens(address), what)
        yield address


@contextmanager
def _running(
    home: Path, command: Sequence[str], descriptors: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    with (home / f"{Path(command[0]).name}-output.log").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, pass_fds=descriptors
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(address: tuple[str, int]) -> bool:
    with suppress(OSError):
        socket.create_connection(address, PATIENCE).close()
        return True
    return False
