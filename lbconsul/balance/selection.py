"""What a mapping selects: a question to Consul, and rules for its answer."""

from attrs import frozen


@frozen
class Question:
    """What one watch asks Consul.  Mappings with the same one share a watch."""

    service: str
    datacenter: str = ""
    filter: str = ""
    near: str = ""

    def __str__(self) -> str:
        said = [self.service]
        said += [f"dc={self.datacenter}"] if self.datacenter else []
        said += [f"filter={self.filter}"] if self.filter else []
        said += [f"near={self.near}"] if self.near else []
        return ",".join(said)


@frozen
class Rules:
    """Which instances of an answer may get connections."""

    tag: str = ""
    health: frozenset[str] = frozenset({"passing", "warning"})
    node_checks: bool = True


@frozen(cache_hash=True)  # it is looked up for each connection
class Selection:
    """What names a pool.  Mappings with the same one share it."""

    question: Question
    rules: Rules = Rules()
    policy: str = "leastconn"
