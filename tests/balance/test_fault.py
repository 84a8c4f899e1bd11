"""What is said of code of an operator's own."""

from lbconsul.balance.fault import Fault, FaultKind, in_words


def _fail(error: Exception) -> None:
    raise error


def _raised(error: Exception) -> Exception:
    try:
        _fail(error)
    except Exception as raised:
        return raised
    raise AssertionError


def test_exception() -> None:
    """An exception is one line, with the place in the operator's code."""
    said = in_words(_raised(ValueError("two\nlines")))
    assert said == "ValueError: two lines (test_fault.py, line 7)"


def test_exception_without_text() -> None:
    """One without a text is its name, with no place where there is none."""
    assert in_words(KeyError()) == "KeyError"


def test_fault() -> None:
    """A fault names what, where and what happened."""
    fault = Fault("pkg:Own", "choose", FaultKind.FAILED, "raised KeyError")
    assert str(fault) == "pkg:Own: choose raised KeyError"
