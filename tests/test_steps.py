"""Long work in steps."""

from lbconsul.steps import Steps, finish


def test_finish() -> None:
    """All steps are run at once, and the result is returned."""
    done = []

    def counting() -> Steps[str]:
        for each in range(3):
            done.append(each)
            yield False
        return "counted"

    assert finish(counting()) == "counted"
    assert done == [0, 1, 2]
