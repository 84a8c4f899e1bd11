"""Events in short, for tests that compare what happened."""

from lbconsul.balance.events import PoolEvent, RegistryEvent
from lbconsul.balance.instance import Identity


def short(event: RegistryEvent) -> tuple[str, str, str]:
    """Its kind, the service ids that it is about, and its reason."""
    if isinstance(event, PoolEvent):
        names = [each.identity.service_id for each in event.instances]
        return event.kind.value, " ".join(names), ""
    assert not isinstance(event.instance, Identity)
    return event.kind.value, event.instance.identity.service_id, event.reason
