"""The errors an operator can act on."""

import pytest

from lbconsul import errors


@pytest.mark.parametrize(
    "kind",
    [
        errors.ConfigError,
        errors.CannotListen,
        errors.UnusableAnswer,
        errors.Forbidden,
        errors.NoUpstream,
        errors.NoWorkers,
        errors.CannotTakeOver,
    ],
)
def test_shown_as_they_stand(kind: type[errors.LBConsulError]) -> None:
    """Whatever lbconsul finds wrong can be caught as one thing, and shown."""
    with pytest.raises(errors.LBConsulError, match=r"^port 0 is none$"):
        raise kind("port 0 is none")


def test_forbidden_is_an_unusable_answer() -> None:
    """A 403 changes no pool, like any other answer that is of no use."""
    assert issubclass(errors.Forbidden, errors.UnusableAnswer)
