"""How hosts are written, and which of them can be connected to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.hosts import canonical, read_host


@pytest.mark.parametrize(
    ("text", "host", "address"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
        (" 10.0.0.1\n", "10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("240.0.0.1", "240.0.0.1", "240.0.0.1"),
        ("::1", "::1", "::1"),
        ("[::1]", "::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("[::ffff:a00:1]", "10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%25eth0]", "fe80::1%eth0", "fe80::1%eth0"),
        ("fe80::1%2", "fe80::1%2", "fe80::1%2"),
        ("web.internal", "web.internal", ""),
        ("web.internal.", "web.internal.", ""),
        ("my_host-1", "my_host-1", ""),
        ("bücher.example", "bücher.example", ""),
        ("1and1.example", "1and1.example", ""),
    ],
)
def test_can_be_connected_to(text: str, host: str, address: str) -> None:
    """An IP address has one spelling, whatever was written; a name is looked up."""
    assert read_host(text) == (host, address)
    if address:
        assert canonical(address) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.0.0.0", "is no address to connect to"),
        ("0.1.2.3", "is no address to connect to"),
        ("::", "is no address to connect to"),
        ("[::]", "is no address to connect to"),
        ("::ffff:0.0.0.0", "is no address to connect to"),
        ("255.255.255.255", "stands for many hosts, and cannot be connected to"),
        ("224.0.0.1", "stands for many hosts, and cannot be connected to"),
        ("::ffff:224.0.0.1", "stands for many hosts, and cannot be connected to"),
        ("ff02::1%eth0", "stands for many hosts, and cannot be connected to"),
        ("fe80::1", "is link-local and needs a zone, as in fe80::1%eth0"),
        ("fe80::1%a b", "has a zone that is no interface"),
        ("fe80::1%" + "x" * 16, "has a zone that is no interface"),
        ("http://10.0.0.1", "is a URL, where a host name or an IP address belongs"),
        ("/run/web.sock", "is a path; a UNIX socket is registered as SocketPath"),
        ("unix:/run/a", "is a path; a UNIX socket is registered as SocketPath"),
        ("@web", "is a path; a UNIX socket is registered as SocketPath"),
        ("10.0.0.1:80", "holds a port, where only the host belongs"),
        ("[::1]:80", "holds a port, where only the host belongs"),
        ("web:", "holds a port, where only the host belongs"),
        ("010.0.0.1", "looks like an IPv4 address, but is not valid"),
        ("10.0.0.1.", "looks like an IPv4 address, but is not valid"),
        ("10.0.1", "looks like an IPv4 address, but is not valid"),
        ("192.0.2.999", "looks like an IPv4 address, but is not valid"),
        ("2130706433", "looks like an IPv4 address, but is not valid"),
        ("0x7f000001", "looks like an IPv4 address, but is not valid"),
        ("web.0X7F", "looks like an IPv4 address, but is not valid"),
        ("\uff11\uff12\uff17.0.0.1", "looks like an IPv4 address, but is not valid"),
        ("", "is neither an IP address nor a host name"),
        (" ", "is neither an IP address nor a host name"),
        (".", "is neither an IP address nor a host name"),
        ("a b", "is neither an IP address nor a host name"),
        ("a..b", "is neither an IP address nor a host name"),
        ("a\x00b", "is neither an IP address nor a host name"),
        ("10.0.0.1/8", "is neither an IP address nor a host name"),
        ("10.0.0.1%eth0", "is neither an IP address nor a host name"),
        ("[10.0.0.1]", "is neither an IP address nor a host name"),
        ("1:2:3", "is neither an IP address nor a host name"),
        ("x" * 64, "is neither an IP address nor a host name"),
        ("a." * 200, "is neither an IP address nor a host name"),
        ("\ud800", "is neither an IP address nor a host name"),
    ],
)
def test_cannot_be_connected_to(text: str, why: str) -> None:
    """An invalid host is described as what it is."""
    with pytest.raises(ValueError) as raised:
        read_host(text)
    assert str(raised.value) == why


@given(st.one_of(st.text(), st.ip_addresses().map(str)))
def test_any_text(text: str) -> None:
    """Any registered text is a host or yields a reason, quickly."""
    try:
        host, address = read_host(text)
    except ValueError as error:
        assert str(error)
    else:
        assert read_host(host) == (host, address)
