"""Requests whose client has to say who it is before an upstream gets them."""

from lbconsul.http.basic_auth import Credentials, read_credentials
from lbconsul.proxy.http_retry import RetriedRequest
from lbconsul.proxy.http_side import Part
from lbconsul.proxy.password_checks import TooManyChecks
from lbconsul.stats.termination import Termination


class LoggedInRequest(RetriedRequest):
    """Begins once the credentials of a request have been verified."""

    def log_in(self, body: Part) -> None:
        """Begin with this beginning of the body if the credentials are right.

        Until that is known no more of the body is read.

        :raises Refused: the body is too large.
        """
        authenticator, fields = self._settings.authenticator, self.head.fields
        assert authenticator is not None
        credentials = read_credentials(fields.raw)
        if credentials is None:
            self._ask("it has no credentials")
            return
        self._check_size(max(len(body), fields.length))
        self.awaits_login = True
        kept = bytes(body)

        def on_verdict(is_right: bool) -> None:
            if self.awaits_login:
                self._settle(credentials, is_right, kept)

        try:
            verdict = authenticator.verdict(credentials, self.plan.client, on_verdict)
        except TooManyChecks as error:
            self.awaits_login = False
            self._session.answer(503, Termination.DENIED, str(error))
            return
        if verdict is None:
            self._session.pause_body()
        else:
            self._admit(credentials, body)

    def _settle(self, credentials: Credentials, is_right: bool, body: bytes) -> None:
        """The verdict is there."""
        if not is_right:
            self.awaits_login = False
            self._ask("its user or its password is wrong")
            return
        # From here on limits of time count for the upstream.
        self.begun_at = self._row.clock.seconds()
        self._session.resume_body()
        self._admit(credentials, body)

    def _admit(self, credentials: Credentials, body: Part) -> None:
        self.awaits_login = False
        self.user = credentials.user.decode("utf-8", "backslashreplace")
        self.begin(body)

    def _ask(self, error: str) -> None:
        """Answer that credentials are needed."""
        self._session.answer(401, Termination.DENIED, error)
