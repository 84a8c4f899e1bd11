"""The arithmetic of a blocking query: index and failures."""

import pytest

from lbconsul.consul.blocking_query import Cursor


class TestIndex:
    """What is sent as ``index`` next."""

    def test_first(self) -> None:
        """The first question is answered at once."""
        assert Cursor().index == 0

    @pytest.mark.parametrize("index", ["42", "43", "18446744073709551615"])
    def test_onwards(self, index: str) -> None:
        """An answer's index is what is waited at next, and there is no pause."""
        cursor = Cursor(index=42).answered(index)
        assert cursor == Cursor(index=int(index))
        assert cursor.pause(1.0) == 0.0

    def test_backwards(self) -> None:
        """An index that goes backwards starts over: the server lost its state."""
        cursor = Cursor(index=42).answered("41")
        assert cursor == Cursor(index=0)
        assert cursor.pause(1.0) == 0.0

    @pytest.mark.parametrize(
        "index", [None, "", "0", "-1", "x", "1.5", "²", "9" * 5000]
    )
    def test_unusable(self, index: str | None) -> None:
        """Without an index that can be waited at, a pause keeps the peace."""
        cursor = Cursor(index=42).answered(index)
        assert (cursor.index, cursor.blind) == (0, True)
        assert cursor.pause(0.0) == cursor.pause(1.0) == 1.0

    def test_after_a_failure(self) -> None:
        """An index from before an outage may never come up again: start over."""
        assert Cursor(index=42).failed().index == 0


class TestPause:
    """How long to wait after failures."""

    def test_doubles_to_an_end(self) -> None:
        """
        The pause doubles from half a second to four, where it stays through a
        short outage; and then to half a minute.
        """
        cursor, pauses = Cursor(), []
        for _ in range(24):
            cursor = cursor.failed()
            pauses.append(cursor.pause(1.0))
        assert pauses == [0.5, 1.0, 2.0] + 17 * [4.0] + [8.0, 16.0, 30.0, 30.0]

    def test_unreached(self) -> None:
        """While Consul is not even there, it is looked for every two seconds."""
        cursor, pauses = Cursor(), []
        for _ in range(4):
            cursor = cursor.failed(unreached=True)
            pauses.append(cursor.pause(1.0))
        assert pauses == [0.5, 1.0, 2.0, 2.0]
        assert cursor.failed().pause(1.0) == 4.0

    def test_jitter(self) -> None:
        """Gateways that lost the same Consul do not come back in step."""
        cursor = Cursor().failed().failed()
        assert [cursor.pause(chance) for chance in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]

    def test_long_outage(self) -> None:
        """After a weekend of failures the pause is the same half minute."""
        assert Cursor(failures=10**6).pause(1.0) == 30.0

    def test_an_answer_ends_it(self) -> None:
        """A good answer makes good for all failures before."""
        cursor = Cursor().failed(unreached=True).failed().answered("7")
        assert cursor == Cursor(index=7)
        assert cursor.failed().pause(1.0) == 0.5

    def test_a_failure_after_a_blind_answer(self) -> None:
        """A failure counts as such, even after an answer without an index."""
        assert Cursor().answered(None).failed().pause(1.0) == 0.5
