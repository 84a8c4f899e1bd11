"""Small web servers to balance over: each reports its name and its request count."""

from attrs import define
from twisted.web.resource import Resource
from twisted.web.server import Request


@define(eq=False)
class Sample(Resource):
    """Answers every GET with one line."""

    isLeaf = True

    name: str
    port: int = 0
    answered: int = 0

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def render_GET(self, request: Request) -> bytes:
        self.answered += 1
        times = "time" if self.answered == 1 else "times"
        line = f"{self.name} on port {self.port} has answered {self.answered} {times}\n"
        request.setHeader("Content-Type", "text/plain; charset=utf-8")
        request.setHeader("X-Served-By", self.name)
        return line.encode()
