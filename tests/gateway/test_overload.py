"""Events of mappings that turn clients away since the process is late."""

from attrs import Factory, define
from twisted.internet.task import Clock

from lbconsul.balance.event_text import describe
from lbconsul.balance.events import Event
from lbconsul.gateway.overload import OverloadEvents
from lbconsul.proxy.saturation import MAPPING, SHEDDING, Full


@define
class Heard:
    """What was told."""

    texts: list[str] = Factory(list)

    def on_event(self, event: Event) -> None:
        self.texts.append(describe(event))


def test_begin_and_end() -> None:
    """Each mapping's overload makes one event when it begins, and one when it ends."""
    clock, full, heard = Clock(), set[Full](), Heard()
    events = OverloadEvents(clock, lambda: full, heard)
    events.startService()
    full |= {Full(SHEDDING, "80:web"), Full(MAPPING, "81:api")}
    clock.pump([1.0, 1.0])
    assert heard.texts == ["80:web turns away a part of its load: shed-lag"]
    full.clear()
    clock.pump([1.0, 1.0])
    assert heard.texts[1:] == ["80:web turns nothing away by shed-lag any more"]
    events.stopService()
    full.add(Full(SHEDDING, "80:web"))
    clock.pump([1.0])
    assert len(heard.texts) == 2
