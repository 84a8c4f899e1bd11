"""What is well written, but cannot be meant: it is refused in words at the start."""

from collections.abc import Callable

import pytest

from lbconsul.config import validate
from lbconsul.config.build import build
from lbconsul.config.model import Mapping, WhenEmpty
from lbconsul.config.sources import Source, from_command_line, from_toml
from lbconsul.errors import ConfigError


def _built(*mappings: str, toml: str = "", **options: str) -> tuple[Mapping, ...]:
    said = {name.replace("_", "-"): text for name, text in options.items()}
    line = from_command_line(said, (), mappings)
    return build(Source(), from_toml(toml, "lb.toml"), line).mappings


def _refusal(*mappings: str, toml: str = "", **options: str) -> str:
    with pytest.raises(ConfigError) as raised:
        _built(*mappings, toml=toml, **options)
    return str(raised.value)


class TestDoubles:
    """Two mappings cannot have one address."""

    @pytest.mark.parametrize(
        ("one", "other", "taken"),
        [
            ("80:a", "80:b", "0.0.0.0:80"),
            ("80:a", "127.0.0.1:80:b", "0.0.0.0:80"),
            ("[::1]:80:a", "[::]:80:b", "[::1]:80"),
            ("unix:/s:a", "unix:/s:b", "unix:/s"),
            ("systemd:web:a", "systemd:web:b", "systemd:web"),
        ],
    )
    def test_two_mappings_at_one_address(
        self, one: str, other: str, taken: str
    ) -> None:
        """The same address twice, or every address and one of them, is refused."""
        with pytest.raises(ConfigError) as raised:
            _built(one, other)
        assert str(raised.value) == f"--map {other}: {taken} is taken by --map {one}"

    def test_refused_beside_the_file(self) -> None:
        """An address of the file and every address on the command line collide."""
        taken = r"^--map 80:b: 127.0.0.1:80 is taken by lb.toml: map 1 127.0.0.1:80:a$"
        with pytest.raises(ConfigError, match=taken):
            _built("80:b", toml="map = ['127.0.0.1:80:a']")

    def test_allowed(self) -> None:
        """Different addresses, ports, families and kinds live beside each other."""
        mappings = [
            "127.0.0.1:80:a", "127.0.0.2:80:a", "127.0.0.1:81:a", "[::]:80:a",
            "82:a", "unix:/80:a", "systemd:80:a",
        ]  # fmt: skip
        assert len(_built(*mappings)) == len(mappings)

    def test_takeover(self) -> None:
        """The socket for a takeover is no place for clients."""
        assert _refusal("80:a", "unix:/run/lb:b", takeover="/run/lb") == (
            "--map unix:/run/lb:b: unix:/run/lb is the takeover socket; choose another"
            " path"
        )
        assert len(_built("unix:/run/web:a", takeover="/run/lb")) == 1

    @pytest.mark.parametrize(
        ("mapping", "admin"),
        [
            ("127.0.0.1:9300:a", "127.0.0.1:9300"),
            ("0.0.0.0:9300:a", "127.0.0.1:9300"),
            ("127.0.0.1:9300:a", "0.0.0.0:9300"),
            ("unix:/run/lb:a", "unix:/run/lb"),
        ],
    )
    def test_admin(self, mapping: str, admin: str) -> None:
        """Where the gateway is looked at is no place for clients."""
        assert _refusal(mapping, admin=admin) == (
            f"--map {mapping}: {mapping[:-2]} overlaps with --admin {admin}; choose"
            " another address for one"
        )
        assert len(_built(mapping, admin="off")) == 1

    def test_admin_and_takeover(self) -> None:
        """The admin listener cannot be the takeover socket."""
        refusal = _refusal("80:a", admin="unix:/run/lb", takeover="/run/lb")
        assert refusal == (
            "--admin unix:/run/lb: is the takeover socket; choose another path"
        )

    def test_admin_that_nobody_asked_for(self) -> None:
        """The default address gives way to a mapping that wants it."""
        assert len(_built("9200:a")) == 1


class TestMany:
    """Thousands of mappings."""

    #: Of these a hundred fall back to the port of another one.
    MAPPINGS = tuple(
        f"{1000 + number}:web{number}"
        + (f",when-empty=fallback=127.0.0.1:{1001 + number}" if number < 100 else "")
        for number in range(2000)
    )

    def test_each_with_its_like_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mapping is only compared with what it may collide with, or lead to."""
        compared = list[tuple[object, ...]]()

        def counted(name: str) -> Callable[..., bool]:
            compares: Callable[..., bool] = getattr(validate, name)

            def compare(*both: object) -> bool:
                compared.append(both)
                return compares(*both)

            return compare

        for name in ("_overlap", "_leads_to"):
            monkeypatch.setattr(validate, name, counted(name))
        assert len(_built(*self.MAPPINGS, "127.0.0.1:80:a", "127.0.0.2:80:a")) == 2002
        # Each with --admin's address, and with itself.
        assert len(compared) <= 2 * 2002 + 101

    def test_the_last_one_collides(self) -> None:
        """Among thousands of mappings the colliding one is found."""
        taken = _refusal(*self.MAPPINGS, "127.0.0.1:2999:late")
        assert taken.endswith(": 0.0.0.0:2999 is taken by --map 2999:web1999")

    def test_the_last_one_leads_back(self) -> None:
        """So is a loop of a hundred."""
        first = "900:first,when-empty=fallback=127.0.0.1:1000"
        ways = [
            each.replace("127.0.0.1:1100", "127.0.0.1:900") for each in self.MAPPINGS
        ]
        assert " leads back here through 1000:web0, " in _refusal(first, *ways)


class TestOwnFallback:
    """A mapping that falls back to itself gains nothing."""

    @pytest.mark.parametrize(
        ("mapping", "fallback"),
        [
            ("80:web", "web"),
            ("80:web", "127.0.0.1:80"),
            ("80:web", "localhost:80"),
            ("10.0.0.5:80:web", "10.0.0.5:80"),
            ("[::]:80:web", "[::1]:80"),
            ("unix:/run/web:web", "web"),
        ],
    )
    def test_a_fallback_to_itself(self, mapping: str, fallback: str) -> None:
        """Its own service, or the port that it listens on itself, is refused."""
        option = f"when-empty=fallback={fallback}"
        assert _refusal(f"{mapping},{option}") == (
            f"--map {mapping},{option}: {option}: leads back to this mapping; name"
            " another service or address"
        )

    @pytest.mark.parametrize(
        ("mapping", "fallback"),
        [
            ("80:web", "sorry"),
            ("80:web", "10.0.0.5:80"),
            ("80:web", "127.0.0.1:81"),
            ("80:web", "[::1]:80"),
            ("127.0.0.2:80:web", "127.0.0.1:80"),
            ("80:web", "sorry.example:80"),
            ("80:web", "systemd:80"),
            ("unix:/run/web:web", "127.0.0.1:80"),
        ],
    )
    def test_allowed(self, mapping: str, fallback: str) -> None:
        """Another service, port or host may be any."""
        [built] = _built(f"{mapping},when-empty=fallback={fallback}")
        assert str(built.when_empty) == f"fallback={fallback}"

    @pytest.mark.parametrize("fallback", ["sorry", "127.0.0.1:81"])
    def test_default_of_all(self, fallback: str) -> None:
        """Where it is the default of all mappings, the last resort has no other."""
        web, sorry = _built("80:web", "81:sorry", when_empty=f"fallback={fallback}")
        assert str(web.when_empty) == f"fallback={fallback}"
        assert sorry.when_empty == WhenEmpty()


class TestCircles:
    """Fallbacks from port to port."""

    def test_each_other(self) -> None:
        """Two mappings that fall back to each other would hand clients round."""
        one = "80:a,when-empty=fallback=127.0.0.1:81"
        two = "81:b,when-empty=fallback=127.0.0.1:80"
        assert _refusal(one, two) == (
            f"--map {one}: when-empty=fallback=127.0.0.1:81 leads back here through"
            " 81:b; give the last one another fallback"
        )

    def test_three(self) -> None:
        """
        The error names the mappings in between; a mapping that only leads into the loop
        is fine.
        """
        refused = _refusal(
            "79:z,when-empty=fallback=127.0.0.1:80",
            "80:a,when-empty=fallback=127.0.0.1:81",
            "81:b,when-empty=fallback=127.0.0.1:82",
            "82:c,when-empty=fallback=127.0.0.1:80",
        )
        assert refused.startswith("--map 80:a,")
        assert "through 81:b, 82:c; " in refused

    def test_services(self) -> None:
        """Two services that stand in for each other make no circle."""
        a, b = _built("80:a,when-empty=fallback=b", "81:b,when-empty=fallback=a")
        assert (a.when_empty.fallback, b.when_empty.fallback) == ("b", "a")

    def test_a_chain(self) -> None:
        """A chain that has an end is fine."""
        chain = _built(
            "80:a,when-empty=fallback=127.0.0.1:81",
            "81:b,when-empty=fallback=127.0.0.1:82",
            "82:c",
        )
        assert len(chain) == 3


class TestClients:
    """Access rules: which clients may connect, by address."""

    @pytest.mark.parametrize(
        "option", ["allow=10.0.0.0/8", "deny=::1", "max-connections-per-client=5"]
    )
    def test_no_addresses(self, option: str) -> None:
        """Clients of a UNIX socket have no address, and the error says so."""
        assert _refusal(f"unix:/run/web:web,{option}") == (
            f"--map unix:/run/web:web,{option}: {option}: clients of a UNIX socket"
            " have no address; use unix-mode= instead"
        )

    def test_no_addresses_in_the_file(self) -> None:
        """The same holds in a table of the file."""
        toml = "[[map]]\nlisten='unix:/s'\nservice='w'\nallow=['::1', '10.0.0.0/8']"
        refused = _refusal(toml=toml)
        assert refused.startswith(
            "lb.toml: map 1 unix:/s:w: allow=::1,10.0.0.0/8: clients of a UNIX socket"
        )

    def test_default_of_all(self) -> None:
        """As defaults of all mappings they are for those of TCP."""
        tcp, unix = _built(
            "80:web",
            "unix:/run/web:web",
            allow="10.0.0.0/8",
            deny="10.1.0.0/16",
            max_connections_per_client="5",
        )
        assert tcp.allow == ("10.0.0.0/8",)
        assert tcp.deny == ("10.1.0.0/16",)
        assert tcp.limits.connections_per_client == 5
        assert (unix.allow, unix.deny, unix.limits.connections_per_client) == (
            (),
            (),
            0,
        )

    def test_proxy_header(self) -> None:
        """A PROXY header may have addresses of any family, whatever is listened on."""
        proxy = "accept-proxy=10.0.0.0/8"
        [built] = _built(f"80:web,{proxy},allow=::1")
        assert built.allow == ("::1/128",)

    @pytest.mark.parametrize(
        ("mapping", "family"),
        [("80:web,allow=::1", 4), ("[::]:80:web,allow=10.0.0.0/8", 6)],
    )
    def test_other_family(self, mapping: str, family: int) -> None:
        """An allow of the other family only is an error: no client could connect."""
        option = mapping.rpartition(",")[2]
        assert _refusal(mapping) == (
            f"--map {mapping}: {option}: must name an IPv{family} network,"
            f" since only IPv{family} clients can connect here"
        )

    def test_other_family_as_default(self) -> None:
        """A default of one family keeps the other family's mappings closed."""
        four, six = _built("80:web", "[::]:80:web", allow="10.0.0.0/8")
        assert four.allow == six.allow == ("10.0.0.0/8",)

    @pytest.mark.parametrize(
        "options",
        [
            "allow=10.0.0.0/8,deny=0.0.0.0/0",
            "allow=10.0.0.0/8,192.0.2.1,deny=10.0.0.0/8,192.0.2.0/24",
            "deny=0.0.0.0/0",
        ],
    )
    def test_nobody_left(self, options: str) -> None:
        """To deny all others as well, as one does elsewhere, would deny all."""
        assert _refusal(f"80:web,{options}") == (
            f"--map 80:web,{options}: deny covers all of allow, so no client could"
            " connect; drop deny: allow alone keeps all others out"
        )

    def test_nobody_left_by_defaults(self) -> None:
        """Wherever allow and deny come from."""
        refused = _refusal("80:web", allow="10.0.0.0/8", deny="0.0.0.0/0,::/0")
        assert refused.startswith("--map 80:web: deny covers all of allow")

    @pytest.mark.parametrize(
        "options",
        [
            "allow=10.0.0.0/8,deny=10.1.0.0/16",
            "deny=10.0.0.0/8,::/0",
            "allow=0.0.0.0/0",
        ],
    )
    def test_somebody_left(self, options: str) -> None:
        """A deny that leaves some clients is valid."""
        assert len(_built(f"80:web,{options}", f"systemd:web:web,{options}")) == 2


def test_harmless() -> None:
    """An option that another one does not need is no mistake."""
    harmless = "80:web,queue-length=5,queue-timeout=1s,failback-after=1m,shrink-hold=5s"
    assert len(_built(harmless, takeover="/run/lb", shutdown_grace="5s")) == 1


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (
            "unix:/run/web:web,rate-limit=5/s",
            "rate-limit=5/s: clients of a UNIX socket have no address; use by=route or"
            " by=header",
        ),
        (
            "80:@tags,mode=http,tag=x",
            "tag=x: has no effect with @tags: each route is of one tag's instances",
        ),
        (
            "80:@tags,mode=http,split=5%:tag=x",
            "split=5%:tag=x: has no effect with @tags: give tags a weight=",
        ),
        (
            "80:web,rate-limit=5/s;by=header:x",
            "rate-limit=5/s;by=header:x: by=header works only with mode=http",
        ),
        (
            "80:web,policy=hash,hash-by=uri",
            "hash-by=uri: works only with mode=http; without it, by source alone",
        ),
    ],
)
def test_of_one_option(mapping: str, told: str) -> None:
    """What an option does not work with is said, and what would."""
    assert _refusal(mapping) == f"--map {mapping}: {told}"
