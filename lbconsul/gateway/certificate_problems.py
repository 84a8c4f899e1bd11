"""What is wrong with certificates in use: logged once, and what expires once a day."""

from collections.abc import Collection

from attrs import Factory, define
from twisted.logger import Logger

from lbconsul.steps import Steps
from lbconsul.tls.certificates import WARN_DAYS, ServerCertificate
from lbconsul.tls.server import ClientVerification

#: Seconds between warnings of the same certificate that expires.
EVERY = 86400.0

#: The most lines at a time; the rest is counted.
SHOWN = 20


@define(eq=False)
class CertificateProblems:
    """Warns of certificates that expire, or that clients may refuse."""

    _log = Logger()
    #: When each line was last due, in seconds since the epoch.
    _logged: dict[str, float] = Factory(dict)

    def reporting(
        self,
        certificates: Collection[tuple[str, ServerCertificate | ClientVerification]],
        now: float,
    ) -> Steps[None]:
        """Look at certificates, one a step; log what is due, with where each is from.

        Among them is how clients' are verified: lists of revoked ones end, too.

        `now` is in seconds since the epoch.
        """
        logged, due = dict[str, float](), list[str]()
        for where, each in certificates:
            gets_worse = (
                isinstance(each, ClientVerification) or each.days_left(now) < WARN_DAYS
            )
            for problem in each.problems(now):
                line = f"{where}: {problem}"
                last = self._logged.get(line)
                if last is None or (gets_worse and now - last >= EVERY):
                    due.append(line)
                    last = now
                logged[line] = last
            yield False
        self._logged = logged
        for line in due[:SHOWN]:
            self._log.warn("{line}", line=line)
        if len(due) > SHOWN:
            self._log.warn(
                "{count} more problems with certificates: --check names them all",
                count=len(due) - SHOWN,
            )
