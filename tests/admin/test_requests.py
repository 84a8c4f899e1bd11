"""What becomes of requests, in the log and in figures."""

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.admin.requests import Requests
from lbconsul.config.listen import TCPListen
from tests.support.admin_client import Site

ORDER = "/upstreams/dc1/node-00/web-0/drain"


class RequestsTests(SynchronousTestCase):
    def _lines(self, site: Site, *asked: tuple[str, str, str, str]) -> list[str]:
        """What the log has of these: method, path, header and its value."""
        with capturedLogs() as events:
            for method, path, header, value in asked:
                site.ask(method, path, [(header, value)])
        self.assertEqual(
            {each["log_level"] for each in events} - {LogLevel.warn}, set()
        )
        return [str(formatEvent(each)) for each in events]

    def test_refused_orders(self) -> None:
        """A refused order is logged with its client and the reason."""
        lines = self._lines(
            Site(),
            ("POST", ORDER, "Authorization", "Bearer gu3ss"),
            ("POST", "/drain", "Origin", "http://evil.example"),
            ("POST", "/upstreams/dc1/n/nobody/eject", "Authorization", "Bearer s3cret"),
            ("GET", ORDER, "X", "y"),
        )
        why = "not the token of --admin-token-file: send it as Authorization:"
        self.assertEqual(
            lines,
            [
                "admin: 401 to 192.168.1.1: drain dc1/node-00/web-0:"
                f" {why} Bearer TOKEN",
                "admin: 403 to 192.168.1.1: drain the gateway: pages of"
                " other sites may not use this",
                "admin: 404 to 192.168.1.1: eject dc1/n/nobody: no"
                " upstream dc1/n/nobody",
                "admin: 405 to 192.168.1.1: drain dc1/node-00/web-0: the"
                " method must be POST",
            ],
        )

    def test_who_lacks_the_token(self) -> None:
        """So is a refused read: without the token, or from another site."""
        site = Site(TCPListen("0.0.0.0", 9200))
        line, other = self._lines(
            site,
            ("GET", "/status", "Authorization", "Bearer gu3ss"),
            ("GET", "/metrics", "Origin", "http://evil.example"),
            ("GET", "/nowhere", "Authorization", "Bearer gu3ss"),
            ("GET", "/readyz", "Authorization", "Bearer gu3ss"),
        )
        self.assertIn("401 to 192.168.1.1: /status: not the token", line)
        self.assertIn("403 to 192.168.1.1: /metrics: pages of other sites", other)

    def test_long_ids(self) -> None:
        """
        However long an id is, a line has an end.
        """
        path = f"/upstreams/dc1/node/{'a' * 3000}/drain"
        [line] = self._lines(Site(), ("POST", path, "X", "y"))
        self.assertLess(len(line), 500)

    def test_bounds(self) -> None:
        """
        No more lines are written than the log has room for.
        """
        left = [2]

        def allow(kind: str) -> bool:
            left[0] -= 1
            return left[0] >= 0

        site = Site(requests=Requests(allow))
        order = ("POST", ORDER, "Authorization", "Bearer gu3ss")
        self.assertEqual(len(self._lines(site, *[order] * 5)), 2)
        self.assertEqual(site.requests.counts["drain", 401], 5)

    def test_counting(self) -> None:
        """
        Requests are counted by what is asked for and what comes of it; whatever is
        asked for, there are only some counts.
        """
        site = Site()
        site.change(ORDER)
        site.change(ORDER)
        site.ask("POST", "/drain")
        for path in ("/healthz", "/readyz", "/status", "/metrics", "/", "/a", "/b"):
            site.ask("GET", path)
        site.ask("PUT", "/status")
        self.assertEqual(
            site.requests.counts,
            {
                ("drain", 200): 2,
                ("drain gateway", 401): 1,
                ("probe", 200): 2,
                ("status", 200): 1,
                ("metrics", 200): 1,
                ("page", 200): 1,
                ("other", 404): 2,
                ("status", 405): 1,
            },
        )
        shown = site.ask("GET", "/metrics").text
        counted = 'lbconsul_admin_requests_total{code="200",what="drain"} 2.0\n'
        self.assertIn(counted, shown)
