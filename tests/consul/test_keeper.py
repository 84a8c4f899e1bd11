"""One registration over time: what is due, what is done, and what is told of it."""

from attrs import evolve

from lbconsul.config.build import configure
from lbconsul.consul.keeper import Keeper, News, State, Step
from lbconsul.consul.registration import Found, Registration, parse, registration
from tests.consul.test_registration import shown

[MAPPING] = configure(mappings=["80:web,register=edge"]).mappings
WANTED: Registration = registration(MAPPING, "0.0.0.0", 80)
FOUND: Found = parse(shown(WANTED))


def kept(now: float = 100.0) -> Keeper:
    """A keeper whose registration is passing."""
    keeper = Keeper(WANTED)
    keeper.registered()
    assert keeper.kept(now, 0.5, "") is News.REGISTERED
    return keeper


def test_reports() -> None:
    """Reports come three times a TTL, give or take a tenth; a change comes at once."""
    keeper = Keeper(WANTED)
    assert keeper.is_due(0.0, is_ready=True)
    for chance, pause in ((0.0, 4.5), (0.5, 5.0)):
        keeper.registered()
        keeper.kept(100.0, chance, "")
        assert not keeper.is_due(100.0 + pause - 0.01, is_ready=True)
        assert keeper.is_due(100.0 + pause, is_ready=True)
    assert keeper.is_due(100.1, is_ready=False)
    assert keeper.kept(101.0, 0.5, "no") is News.CRITICAL
    assert (keeper.state, keeper.reason, keeper.since) == (State.CRITICAL, "no", 101.0)
    assert not keeper.is_due(101.1, is_ready=False)
    assert keeper.kept(102.0, 0.5, "still no") is None
    assert (keeper.reason, keeper.since) == ("still no", 101.0)
    assert keeper.kept(103.0, 0.5, "") is News.PASSING


def test_steps() -> None:
    """What the agent has decides what to do."""
    new, old = Keeper(WANTED), kept()
    assert new.judge(None, "me") is old.judge(None, "me") is Step.REGISTER
    assert new.judge(FOUND, "me") is Step.REGISTER
    assert old.judge(FOUND, "me") is Step.REPORT
    assert old.judge(evolve(FOUND, port=81), "me") is Step.REGISTER
    for each in (new, old):
        assert each.judge(evolve(FOUND, meta=()), "me") is Step.YIELD
        assert each.judge(evolve(FOUND, name="db"), "me") is Step.YIELD


def test_another_gateway() -> None:
    """The one that starts has the registration; the one that had it yields, and looks
    again: once it is free, it registers again."""
    new, old = Keeper(WANTED), kept()
    assert new.judge(FOUND, "you") is Step.REGISTER
    assert old.judge(FOUND, "you") is Step.YIELD
    assert old.yielded(110.0, 0.5, "taken")
    assert not old.yielded(115.0, 0.5, "taken")
    assert (old.state, old.since, old.is_ours) == (State.TAKEN, 110.0, False)
    assert not old.is_due(115.1, is_ready=False)
    assert old.is_due(120.0, is_ready=True)
    assert old.judge(None, "me") is Step.REGISTER
    old.registered()
    assert old.kept(121.0, 0.5, "") is News.RESTORED
    assert old.is_ours


def test_failures() -> None:
    """After a failure it is tried again soon, then less often, up to the time between
    two reports; each kind of failure is news once, and so is the recovery."""
    keeper = kept()
    pauses = []
    now = 200.0
    for _ in range(6):
        keeper.failed(now, 1.0, OSError, "refused")
        assert not keeper.is_due(now, is_ready=False)
        pause = 0.0
        while not keeper.is_due(now + pause, is_ready=True):
            pause += 0.25
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert (keeper.state, keeper.reason) == (State.UNCONFIRMED, "refused")
    assert keeper.is_ours
    assert keeper.failed(now, 0.0, ValueError, "odd")
    assert not keeper.failed(now, 0.0, OSError, "refused")
    assert keeper.is_due(now + 2.5, is_ready=True)
    assert keeper.kept(now, 0.5, "") is News.RECOVERED
    assert keeper.failed(now, 0.5, OSError, "refused")


def test_failures_before_the_first_registration() -> None:
    """A gateway that could not register yet waits."""
    keeper = Keeper(WANTED)
    assert keeper.failed(1.0, 0.5, OSError, "refused")
    assert (keeper.state, keeper.since, keeper.is_ours) == (State.WAITING, 0.0, False)
    keeper.registered()
    assert keeper.failed(2.0, 0.5, ValueError, "not reported")
    assert (keeper.state, keeper.is_ours) == (State.UNCONFIRMED, True)
    assert keeper.kept(3.0, 0.5, "") is News.REGISTERED


def test_reload() -> None:
    """What is wanted otherwise is registered so at once."""
    keeper = kept()
    keeper.want(evolve(WANTED))
    assert not keeper.is_due(101.0, is_ready=True)
    keeper.want(evolve(WANTED, tags=("new",)))
    assert keeper.is_due(101.0, is_ready=True)
    assert keeper.judge(FOUND, "me") is Step.REGISTER
    keeper.registered()
    assert keeper.kept(101.0, 0.5, "") is News.ALTERED
    keeper.registered()
    assert keeper.kept(101.0, 0.5, "") is News.RESTORED


def test_left() -> None:
    """A registration that was left is not ours any more."""
    keeper = kept()
    keeper.left(130.0, "deregistered")
    assert (keeper.state, keeper.since, keeper.is_ours) == (State.LEFT, 130.0, False)
