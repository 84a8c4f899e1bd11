"""Options that contradict each other, or have no effect, are refused at the start."""

import pytest

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError


def _mapping(mapping: str, *routes: str, **options: str) -> Mapping:
    [built] = configure(mappings=[mapping], routes=routes, **options).mappings
    return built


@pytest.mark.parametrize(
    ("mapping", "option", "needed"),
    [
        ("443:web", "tls-min=1.3", "tls="),
        ("80:web", "head-timeout=5s", "mode=http"),
        ("443:web,mode=sni", "trusted-proxies=::1", "mode=http"),
        ("80:web", "set-header=X-A: 1", "mode=http"),
        ("80:web", "redirect-https=on", "mode=http"),
        ("443:web", "client-ca=/ca.pem", "tls="),
        ("443:web", "client-verify=optional", "tls="),
        ("443:web,tls=/w.pem", "client-verify=optional", "client-ca="),
        ("443:web,tls=/w.pem", "client-crl=/crl.pem", "client-ca="),
        ("443:web", "upstream-ca=/ca.pem", "upstream-tls=on"),
        ("443:web,upstream-tls=off", "upstream-verify=off", "upstream-tls=on"),
        ("443:web", "upstream-server-name=a.com", "upstream-tls=on"),
        ("443:web", "upstream-cert=/c.pem", "upstream-tls=on"),
        ("443:web,upstream-tls=on", "upstream-key=/k.pem", "upstream-cert="),
        ("80:web", "register-tags=edge", "register="),
        ("80:web,register=off", "register-address=10.0.0.7", "register="),
        ("80:web", "hash-balance-factor=150", "policy=hash"),
        ("80:web", "hash-by=source", "policy=hash, or a policy of your own"),
        ("80:web", "sticky=cookie", "mode=http"),
    ],
)
def test_without_effect(mapping: str, option: str, needed: str) -> None:
    """An option that has no effect without another one is refused without it."""
    with pytest.raises(ConfigError) as raised:
        _mapping(f"{mapping},{option}")
    assert str(raised.value) == (
        f"--map {mapping},{option}: {option}: works only with {needed}"
    )


def test_defaults_without_effect() -> None:
    """A default of all mappings need not have an effect on each."""
    mapping = _mapping("80:web", tls_min="1.3", client_ca="/ca", upstream_ca="/ca")
    assert mapping.tls.least_version == "1.3"


def test_with_effect() -> None:
    """With what they need all of them are taken."""
    mapping = _mapping(
        "443:web,tls=/w.pem,tls-min=1.3,client-ca=/ca,client-verify=optional,"
        "client-crl=/crl,upstream-tls=on,upstream-ca=/ca,upstream-cert=/c,"
        "upstream-key=/k,upstream-verify=off,upstream-server-name=a.com"
    )
    assert (mapping.tls.client_crl, mapping.upstream_tls.key) == ("/crl", "/k")


def test_for_a_route() -> None:
    """An option of a mapping may have an effect on a route alone."""
    route = "443:a.com=a,upstream-tls=on"
    mapping = _mapping("443:web,mode=sni,upstream-ca=/ca", route)
    assert mapping.routes[0].upstream_tls.ca == "/ca"


class TestModeAndTLS:
    """Clients are routed without decrypting, or decrypted."""

    WHY = ": mode=sni passes TLS on without decrypting, which tls= would do: drop one"

    def test_both(self) -> None:
        """A mapping that sets both is refused."""
        with pytest.raises(
            ConfigError, match=f"^--map 443:web,tls=/a,mode=sni{self.WHY}"
        ):
            _mapping("443:web,tls=/a,mode=sni")

    def test_both_by_default(self) -> None:
        """Defaults that never work together are refused."""
        with pytest.raises(ConfigError, match=f"^--map 443:web{self.WHY}$"):
            _mapping("443:web", tls="/a", mode="sni")

    def test_its_own(self) -> None:
        """What a mapping sets itself comes before a default."""
        decrypts = _mapping("443:web,tls=/a", mode="sni")
        assert (decrypts.mode, decrypts.tls.certificates) == ("tcp", "/a")
        routes = _mapping("443:web,mode=sni", tls="/a")
        assert (routes.mode, routes.tls.certificates) == ("sni", "")


def test_a_mode_of_former_versions() -> None:
    """The permissions of a UNIX socket were called mode once."""
    with pytest.raises(ConfigError) as raised:
        _mapping("unix:/run/web.sock:web,mode=666")
    assert str(raised.value) == (
        "--map unix:/run/web.sock:web,mode=666: mode=666: must be one of http, sni,"
        " tcp; a UNIX socket's permissions are called unix-mode now: unix-mode=666"
    )


class TestHTTP:
    """Options of connections that are none of requests."""

    @pytest.mark.parametrize(
        ("option", "why"),
        [
            (
                "first-byte-timeout=5s",
                "where head-timeout= and keepalive-timeout= are the limits",
            ),
            (
                "wait-for-client=on",
                "where an instance is connected to only once there is a request",
            ),
        ],
    )
    def test_without_effect(self, option: str, why: str) -> None:
        """What only TCP mode has is refused, with what there is instead."""
        mapping = f"80:web,mode=http,{option}"
        with pytest.raises(ConfigError) as raised:
            _mapping(mapping)
        assert str(raised.value) == (
            f"--map {mapping}: {option}: has no effect with mode=http, {why}"
        )

    def test_default_without_effect(self) -> None:
        """As a default of all mappings it is for the others."""
        mapping = _mapping("80:w,mode=http", first_byte_timeout="5s")
        assert mapping.timeouts.first_byte == 0
        mapping = _mapping("80:w,mode=http", wait_for_client="on")
        assert not mapping.waits_for_client

    def test_uri_beyond_head(self) -> None:
        """A URI is a part of the head, and cannot be larger."""
        with pytest.raises(
            ConfigError, match="max-uri=16KiB: is more than max-head=9KiB, of which"
        ):
            _mapping("80:w,mode=http,max-head=9KiB,max-uri=16KiB")
        assert _mapping("80:w,mode=http,max-head=4KiB").http.max_uri == 8192

    def test_default_mode(self) -> None:
        """HTTP can be the mode of all mappings, and TLS ends before it."""
        assert _mapping("80:w", mode="http").mode == "http"
        both = _mapping("443:w,tls=/w.pem", mode="http")
        assert (both.mode, both.tls.certificates) == ("http", "/w.pem")

    def test_groups(self) -> None:
        """Each option has its place, and a route its own but those of the address."""
        mapping = _mapping(
            "443:w,mode=http,tls=/w.pem,send-proxy=v2,trusted-proxies=10.0.0.0/8,::1,"
            "retry-on=502,timeout,max-body=1MiB,response-timeout=off",
            "443:a.com=a,max-body=off",
        )
        assert mapping.http.trusted_proxies == ("10.0.0.0/8", "::1/128")
        assert mapping.http.retry_on == {"502", "timeout"}
        assert mapping.http.response_timeout == 0
        assert (mapping.http.max_body, mapping.routes[0].http.max_body) == (1 << 20, 0)
        with pytest.raises(ConfigError, match="is for all clients of"):
            _mapping("443:w,mode=http", "443:a.com=a,max-head=8KiB")


class TestProxyProtocol:
    """Headers of the PROXY protocol on a UNIX socket."""

    def test_given(self) -> None:
        """With PROXY headers a UNIX socket can allow clients by address."""
        mapping = _mapping("unix:/run/w:web,accept-proxy=0.0.0.0/0,allow=10.0.0.0/8")
        assert mapping.proxy_protocol.accept == ("0.0.0.0/0",)
        assert mapping.allow == ("10.0.0.0/8",)

    def test_default(self) -> None:
        """A default of all mappings is not for UNIX sockets."""
        mapping = _mapping("unix:/run/w:web", accept_proxy="10.0.0.0/8")
        assert mapping.proxy_protocol.accept == ()


def test_certificates_in_consul() -> None:
    """Certificates in Consul need a prefix of their keys."""
    assert _mapping("443:w,tls=consul:certs/").tls.certificates == "consul:certs/"
    with pytest.raises(ConfigError, match="tls=consul:/: must have a prefix of keys"):
        _mapping("443:w,tls=consul:/")


class TestWithoutService:
    """A mapping that sends its clients elsewhere needs no service."""

    @pytest.mark.parametrize(
        "option", ["redirect-https=on", "redirect=301,https://b.com/"]
    )
    def test_redirect(self, option: str) -> None:
        """A redirect is enough."""
        assert _mapping(f"80:-,mode=http,{option}").service == ""

    def test_none(self) -> None:
        """Without one, or with one of another mode, there has to be a route."""
        for mapping in ("80:-,mode=http", "80:-,mode=tcp"):
            with pytest.raises(ConfigError, match="- is no service, and there is no"):
                _mapping(mapping)
        with pytest.raises(ConfigError, match="- is no service, and there is no"):
            _mapping("80:-", redirect_https="on")


def test_registering_a_unix_socket() -> None:
    """A UNIX socket is not registered: others cannot reach it."""
    with pytest.raises(ConfigError, match=r"register=edge: a UNIX socket has no addr"):
        _mapping("unix:/run/web.sock:web,register=edge")
    assert not _mapping("unix:/run/web.sock:web", register="edge").register.name
    assert not _mapping("unix:/run/web.sock:web,register=off").register.name


def test_registering_a_route() -> None:
    """A registration is the address's, so a route of it has none of its own."""
    mapping = "80:web,mode=http,register=edge"
    with pytest.raises(ConfigError, match=r"is for all clients of 0\.0\.0\.0:80"):
        _mapping(mapping, "80:/api=api,register=api")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            "cookie-same-site=none,cookie-secure=off",
            "browsers keep no cookie with cookie-same-site=none and cookie-secure=off",
        ),
        (
            "sticky=cookie:__Secure-a,cookie-secure=off",
            "browsers keep no cookie __Secure-a with cookie-secure=off",
        ),
        (
            "sticky=cookie:__Host-a,cookie-path=/a",
            "browsers keep a cookie __Host-a only with cookie-path=/",
        ),
    ],
)
def test_cookies_that_browsers_refuse(options: str, why: str) -> None:
    """What would have no effect is refused at the start."""
    with pytest.raises(ConfigError) as raised:
        _mapping(f"80:web,mode=http,{options}")
    assert str(raised.value).endswith(f": {why}")


def test_keys_of_requests_are_for_http_mode() -> None:
    """A mapping of connections knows their source alone."""
    with pytest.raises(ConfigError) as raised:
        _mapping("80:web,policy=hash,hash-by=uri")
    assert str(raised.value) == (
        "--map 80:web,policy=hash,hash-by=uri: hash-by=uri: works only with mode=http;"
        " without it, by source alone"
    )
    by_default = _mapping("80:web,policy=hash", hash_by="uri")
    assert by_default.affinity.hash_by == ""
