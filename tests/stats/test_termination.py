"""The two letters at the end of a connection's line of log."""

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.stats.termination import Termination


class EndingTests(SynchronousTestCase):
    """What scripts that read logs count on."""

    def test_codes(self) -> None:
        """
        Each code tells whose doing it was (C the client's, S the upstream's,
        small letters a limit's, R a resource's, P a rule's of who is served, K
        ours) and when: C while connecting, Q in the queue, D while bytes could flow;
        R and L tell of the rule (refused, or too many of one client), and the others
        why it was killed: its age, the balance, its instance, a soft or a hard stop,
        its mapping, or its worker.
        """
        codes = {ending.name: ending.value for ending in Termination}
        self.assertEqual(
            codes,
            {
                "DONE": "--",
                "CLIENT_LEFT": "CC",
                "REFUSED": "SC",
                "CONNECT_TIMEOUT": "sC",
                "STARVED": "RC",
                "QUEUE_TIMEOUT": "sQ",
                "QUEUE_FULL": "SQ",
                "QUEUE_LEFT": "CQ",
                "DENIED": "PR",
                "CLIENT_LIMIT": "PL",
                "CLIENT_RESET": "CD",
                "UPSTREAM_RESET": "SD",
                "IDLE": "cD",
                "HALF_CLOSED": "sD",
                "AGED": "KA",
                "REBALANCED": "KB",
                "LEFT": "KI",
                "INTERNAL": "I-",
                "SOFT_STOP": "KS",
                "HARD_STOP": "KH",
                "UNMAPPED": "KM",
                "WORKER_DIED": "KW",
            },
        )
        self.assertEqual(len({*codes.values()}), len(codes))
