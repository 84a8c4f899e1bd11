"""Events in short, for tests that compare what happened."""

from attrs import Factory, define

from lbconsul.balance.events import Change, Event, PoolEvent, RegistryEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery


@define(eq=False)
class EventRecorder:
    """Keeps the events of a gateway, or of its data plane."""

    events: list[Event] = Factory(list)
    answered: list[ServiceQuery] = Factory(list)
    reregistered: list[Instance] = Factory(list)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def on_change(self, query: ServiceQuery, change: Change) -> None:
        self.answered.append(query)

    def on_reregistered(self, instances: tuple[Instance, ...]) -> None:
        self.reregistered += instances


def short(event: RegistryEvent) -> tuple[str, str, str]:
    """Its kind, the service ids that it is about, and its reason."""
    if isinstance(event, PoolEvent):
        names = [each.identity.service_id for each in event.instances]
        return event.kind.value, " ".join(names), ""
    assert not isinstance(event.instance, Identity)
    return event.kind.value, event.instance.identity.service_id, event.reason
