"""What is taken from below pyOpenSSL's public API, and what stands in for it.

`Connection.recv_into` and `Connection.send` allocate a buffer and build several
objects per call, which made a small message cost 2.0 times what it costs HAProxy; the
functions of OpenSSL that they call make it 1.4.  These functions are not part of
pyOpenSSL's public API: `DirectCalls` needs them, `PublicCalls` does without, and
`open_calls` takes the former only if all are there.
"""

import os
from typing import Any

from OpenSSL import SSL, crypto

from lbconsul.tls.errors import TLSError, Truncated

#: Results that are no count: the peer's close_notify; wait until the socket can be
#: read; wait until it can be written.
END, WANT_READ, WANT_WRITE = 0, -1, -2

#: What is read into.
Buffer = bytearray | memoryview

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)

#: X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS and X509_CHECK_FLAG_NEVER_CHECK_SUBJECT: a
#: wildcard is a whole label, and only a subjectAltName counts (RFC 9525, 6.3 and 2).
_HOST_FLAGS = 0x4 | 0x20

#: What `expect_host` needs.
_NEEDED_FOR_HOST = (
    "SSL_get0_param",
    "X509_VERIFY_PARAM_set1_host",
    "X509_VERIFY_PARAM_set1_ip",
    "X509_VERIFY_PARAM_set_hostflags",
)

#: What `share_store` needs.
_NEEDED_FOR_STORE = (
    "SSL_CTX_get_cert_store",
    "SSL_CTX_set_cert_store",
    "X509_STORE_up_ref",
)

#: What `DirectCalls` needs of pyOpenSSL's private names.
_NEEDED = (
    "ERR_clear_error",
    "SSL_clear_mode",
    "SSL_do_handshake",
    "SSL_get_error",
    "SSL_get_verify_result",
    "SSL_read",
    "SSL_shutdown",
    "SSL_write",
    "SSL_ERROR_WANT_READ",
    "SSL_ERROR_WANT_WRITE",
    "SSL_ERROR_ZERO_RETURN",
    "SSL_MODE_AUTO_RETRY",
    "X509_verify_cert_error_string",
)


class PublicCalls:
    """Reads and writes through pyOpenSSL's public API."""

    __slots__ = ("_connection",)

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def read(self, buffer: Buffer, start: int, most: int) -> int:
        """Read at most `most` bytes of one record to `start` in the buffer.

        Returns their number, or what is to be waited for.

        :raises OSError: the connection is broken.
        """
        try:
            return self._connection.recv_into(memoryview(buffer)[start:], most)
        except SSL.Error as error:
            return _outcome(error)

    def write(self, data: bytes | memoryview) -> tuple[int, int]:
        """Write the beginning of the data; how many bytes, and why not all of them.

        That is what is to be waited for.

        :raises OSError: the connection is broken.
        """
        view, sent = memoryview(data), 0
        while sent < len(view):
            try:
                sent += self._connection.send(view[sent:])
            except SSL.Error as error:
                return sent, _outcome(error)
        return sent, 0

    def handshake(self) -> int:
        """Continue the handshake; returns what is to be waited for, 1 if nothing.

        :raises OSError: the handshake failed.
        """
        try:
            self._connection.do_handshake()
        except SSL.Error as error:
            return _outcome(error)
        return 1

    def shutdown(self) -> int:
        """Send close_notify; returns what is to be waited for, 1 if nothing.

        :raises OSError: the connection is broken.
        """
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            return _outcome(error)
        return 1


class DirectCalls(PublicCalls):
    """Reads and writes through the functions of OpenSSL themselves."""

    __slots__ = ("_ssl",)

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
        self._ssl: Any = connection._ssl
        # Else SSL_read goes on for as long as the peer sends records without data,
        # such as key updates, and other connections wait.
        _lib.SSL_clear_mode(self._ssl, _lib.SSL_MODE_AUTO_RETRY)

    def read(self, buffer: Buffer, start: int, most: int) -> int:
        # SSL_get_error takes an error that anyone left in the queue for its own.
        _lib.ERR_clear_error()
        target = _ffi.from_buffer(buffer)  # keeps the buffer where it is
        place = target + start if start else target
        count: int = _lib.SSL_read(self._ssl, place, most)
        return count if count > 0 else self._failed(count)

    def write(self, data: bytes | memoryview) -> tuple[int, int]:
        _lib.ERR_clear_error()
        source, size, sent = _ffi.from_buffer(data), len(data), 0
        while sent < size:
            # One record, as pyOpenSSL sets SSL_MODE_ENABLE_PARTIAL_WRITE.
            place = source + sent if sent else source
            count: int = _lib.SSL_write(self._ssl, place, size - sent)
            if count <= 0:
                return sent, self._failed(count)
            sent += count
        return sent, 0

    def handshake(self) -> int:
        _lib.ERR_clear_error()
        result = _lib.SSL_do_handshake(self._ssl)
        if result > 0:
            return 1
        return self._failed(result, in_handshake=True)

    def shutdown(self) -> int:
        _lib.ERR_clear_error()
        result = _lib.SSL_shutdown(self._ssl)
        return self._failed(result) if result < 0 else 1

    def _failed(self, result: int, *, in_handshake: bool = False) -> int:
        code = _lib.SSL_get_error(self._ssl, result)
        if code == _lib.SSL_ERROR_WANT_READ:
            return WANT_READ
        if code == _lib.SSL_ERROR_WANT_WRITE:
            return WANT_WRITE
        if code == _lib.SSL_ERROR_ZERO_RETURN:
            return END
        try:
            self._connection._raise_ssl_error(self._ssl, result)
        except SSL.Error as error:
            return _outcome(error, self._why_unverified() if in_handshake else "")
        raise AssertionError(f"SSL_get_error returned {code}")

    def _why_unverified(self) -> str:
        """What is wrong with the peer's certificate; empty if nothing is."""
        code = _lib.SSL_get_verify_result(self._ssl)
        text: bytes = _ffi.string(_lib.X509_verify_cert_error_string(code))
        return text.decode("ascii", "replace") if code else ""


def _outcome(error: SSL.Error, detail: str = "") -> int:
    """What an exception of pyOpenSSL says: what to wait for, or an `OSError`."""
    match error:
        case SSL.WantReadError():
            return WANT_READ
        case SSL.WantWriteError():
            return WANT_WRITE
        case SSL.ZeroReturnError():
            return END
        case SSL.SysCallError(args=(int(code), *_)) if code > 0:
            raise OSError(code, os.strerror(code)) from None
        case SSL.SysCallError():
            raise Truncated("the peer ended TCP without close_notify") from None
    raise TLSError(": ".join(filter(None, [reasons(error), detail]))) from None


def reasons(error: SSL.Error | crypto.Error) -> str:
    """The reasons that OpenSSL gives for an error."""
    found = [str(each[-1]) for each in error.args[0]] if error.args else []
    return ": ".join(filter(None, found)) or "OpenSSL gives no reason"


def _offers_direct_calls() -> bool:
    """Whether this pyOpenSSL has what `DirectCalls` needs."""
    if not (all(hasattr(_lib, name) for name in _NEEDED) and hasattr(_ffi, "string")):
        return False
    probe = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
    return hasattr(probe, "_ssl") and hasattr(probe, "_raise_ssl_error")


def _offers_host() -> bool:
    """Whether this pyOpenSSL has what `expect_host` needs."""
    return all(hasattr(_lib, name) for name in _NEEDED_FOR_HOST)


def expect_host(connection: SSL.Connection, host: str, address: bytes | None) -> bool:
    """Have OpenSSL refuse a certificate that is not for this host.

    `address` is the packed IP address if the host is one.  Returns whether this
    pyOpenSSL can do so; if not, the caller compares names after the handshake, which
    takes a quarter of a millisecond.
    """
    if not _offers_host():
        return False
    parameters = _lib.SSL_get0_param(connection._ssl)
    if address is None:
        _lib.X509_VERIFY_PARAM_set_hostflags(parameters, _HOST_FLAGS)
        name = host.encode("ascii", "replace")  # such a name is in no certificate
        done = _lib.X509_VERIFY_PARAM_set1_host(parameters, name, len(name))
    else:
        done = _lib.X509_VERIFY_PARAM_set1_ip(parameters, address, len(address))
    return bool(done == 1)


def share_store(context: SSL.Context, of: SSL.Context) -> bool:
    """Have a context trust what another one trusts: both have one store from now on.

    Returns whether this pyOpenSSL can do so.
    """
    if not all(hasattr(_lib, name) for name in _NEEDED_FOR_STORE):
        return False
    store = _lib.SSL_CTX_get_cert_store(of._context)
    _lib.X509_STORE_up_ref(store)
    _lib.SSL_CTX_set_cert_store(context._context, store)
    return True


def set_groups(context: SSL.Context, groups: str) -> None:
    """Set the groups for key exchange; a pyOpenSSL that cannot keeps OpenSSL's."""
    set_list = getattr(_lib, "SSL_CTX_set1_curves_list", None)
    if set_list is not None and set_list(context._context, groups.encode()) != 1:
        _lib.ERR_clear_error()


#: The cheapest calls that this pyOpenSSL allows.
open_calls: type[PublicCalls] = DirectCalls if _offers_direct_calls() else PublicCalls
