"""How the connection to the gateway is, and how old what is shown is.  Pure.

Times are of a monotonic clock, in seconds.
"""

from attrs import evolve, frozen

from lbconsul.admin.short_text import span
from lbconsul.top.figures import Status
from lbconsul.top.lines import BAD, WARN, Line, line

#: Figures of this age are not old, in seconds: they are asked for each second.
_FRESH = 3.0

#: For how long it is shown that another gateway answers, in seconds.
_NEWS = 60.0


@frozen
class Link:
    """The connection to the gateway at an address."""

    address: str
    #: When the figures came that are shown.
    heard: float
    #: Which start of a gateway they are of: when it was, and its process.
    of: tuple[float, int] = (0.0, 0)
    #: Why the gateway does not answer, since when; empty if it does.
    error: str = ""
    lost: float = 0.0
    #: What is new about the gateway itself, and since when.
    news: str = ""
    news_since: float = 0.0

    def answered(self, status: Status, now: float) -> "Link":
        """With the next answer."""
        gateway = status["gateway"]
        of = (float(gateway["started"]), int(gateway["pid"]))
        back = evolve(self, heard=now, of=of, error="")
        if of != self.of and self.of[0]:
            news = (
                f"another gateway answers now, process {of[1]},"
                f" lbconsul {gateway['version']}: restarted, or taken over"
            )
        elif self.error:
            news = f"the gateway answers again after {span(now - self.lost)}"
        else:
            return back
        return evolve(back, news=news, news_since=now)

    def failed(self, error: str, now: float) -> "Link":
        """Without an answer, for this reason."""
        return evolve(self, error=error, lost=self.lost if self.error else now)

    def lines(self, now: float) -> list[Line]:
        """What is to be said of it, if anything."""
        age = span(now - self.heard)
        if self.error:
            lost = span(now - self.lost)
            return [
                line((f"no connection for {lost}: {self.error}", BAD)),
                line((f"what follows is {age} old; asking again", BAD)),
            ]
        if now - self.heard > _FRESH:
            return [line((f"what follows is {age} old", WARN))]
        if self.news and now - self.news_since < _NEWS:
            ago = span(now - self.news_since)
            return [line((f"{self.news}, {ago} ago", WARN))]
        return []
