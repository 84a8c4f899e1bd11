"""The two letters at the end of a connection's line of log."""

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.stats.termination import Termination


class EndingTests(SynchronousTestCase):
    """What scripts that read logs count on."""

    def test_codes(self) -> None:
        """
        Each code has the cause (C client, S upstream, small letters a time limit, R
        resources, P a rule, K lbconsul) and the phase: X PROXY header, T TLS, R
        request, C connecting, Q queue, H head of the response, D data; for R and P
        also the rule (refused, the limit per client, its frequency, the most requests,
        a name without a route, or lag), and for K the reason: age, balance, instance,
        soft or hard stop, mapping, time of a request, or worker.
        """
        codes = {ending.name: ending.value for ending in Termination}
        self.assertEqual(
            codes,
            {
                "DONE": "--",
                "CLIENT_LEFT": "CC",
                "REFUSED": "SC",
                "CONNECT_TIMEOUT": "sC",
                "UPSTREAM_TLS_FAILED": "ST",
                "STARVED": "RC",
                "QUEUE_TIMEOUT": "sQ",
                "QUEUE_FULL": "SQ",
                "QUEUE_LEFT": "CQ",
                "BAD_HEADER": "PX",
                "HEADER_TIMEOUT": "cX",
                "HEADER_LEFT": "CX",
                "TLS_FAILED": "PT",
                "TLS_TIMEOUT": "cT",
                "TLS_LEFT": "CT",
                "NO_ROUTE": "PN",
                "FIRST_BYTE_TIMEOUT": "cR",
                "FIRST_BYTE_LEFT": "CR",
                "DENIED": "PR",
                "CLIENT_LIMIT": "PL",
                "RATE_LIMITED": "PF",
                "REQUEST_LIMIT": "PM",
                "OVERLOADED": "RL",
                "UPSTREAM_LEFT": "SH",
                "RESPONSE_TIMEOUT": "sH",
                "BAD_RESPONSE": "PH",
                "REQUEST_TIMEOUT": "KT",
                "CLIENT_LEFT_RESPONSE": "CH",
                "BAD_BODY": "PD",
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


def test_went_wrong() -> None:
    """
    A client that just left was not failed, unless it had to wait; nor was one whose
    connection is over in due form, or was ended as the operator wants.
    """
    fine = {each.code for each in Termination if not each.went_wrong}
    assert fine == {"--", "CX", "CT", "CR", "CH", "CD", "KA", "KB"}
