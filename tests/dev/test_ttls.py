"""TTLs: when they end, and what renews them."""

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.ttls import TTLs


class TTLsTests(SynchronousTestCase):
    def test_over_once(self) -> None:
        """An expired check is reported once, and then has no deadline any more."""
        ttls = TTLs()
        ttls.start("a", 10, now=100)
        ttls.start("b", 5, now=100)
        self.assertEqual(ttls.next(), 105)
        self.assertEqual(ttls.expire(104), [])
        self.assertEqual(ttls.expire(105), ["b"])
        self.assertEqual(ttls.expire(105), [])
        self.assertEqual(ttls.next(), 110)

    def test_renewed(self) -> None:
        """An update restarts a check's TTL, even when it had expired."""
        ttls = TTLs()
        ttls.start("a", 10, now=100)
        ttls.renew("a", now=108)
        self.assertEqual(ttls.expire(117), [])
        self.assertEqual(ttls.expire(118), ["a"])
        ttls.renew("a", now=200)
        self.assertEqual(ttls.next(), 210)

    def test_forgotten(self) -> None:
        """
        A check that is gone has no time, and to forget it again is nothing.
        """
        ttls = TTLs()
        ttls.start("a", 10, now=100)
        self.assertIn("a", ttls)
        ttls.forget("a")
        ttls.forget("a")
        self.assertNotIn("a", ttls)
        self.assertIsNone(ttls.next())
