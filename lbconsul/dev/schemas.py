"""The shapes of the request bodies: names, and the types of their values."""

from lbconsul.dev.payload import (
    Kind,
    flag,
    ignored,
    number,
    pairs,
    seconds,
    several,
    structure,
    text,
    unsupported,
)


def _unsupported(names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), unsupported)


_ADDRESS = structure({"Address": text, "Port": number})
_WEIGHTS = structure({"Passing": number, "Warning": number}, "structs.Weights")
_SERVICE = {
    "ID": text,
    "Tags": several(text),
    "Address": text,
    "Port": number,
    "Meta": pairs(text),
    "Weights": _WEIGHTS,
    "EnableTagOverride": flag,
    "TaggedAddresses": pairs(
        structure({"Address": text, "Port": number}),
        "map[string]structs.ServiceAddress",
    ),
    "Kind": text,
    "SocketPath": text,
    **_unsupported("Proxy Connect"),
}
_CHECK = {
    "Name": text,
    "Status": text,
    "Notes": text,
    "TTL": seconds,
    "Timeout": ignored,
    "OutputMaxSize": ignored,
    "DeregisterCriticalServiceAfter": seconds,
    **_unsupported(
        "HTTP TCP GRPC GRPCUseTLS Args ScriptArgs DockerContainerID Shell Interval"
        " AliasNode AliasService Header Method Body TLSSkipVerify ProxyHTTP ProxyGRPC"
        " SuccessBeforePassing FailuresBeforeCritical"
    ),
}
_OWN_CHECK = {**_CHECK, "CheckID": text}
AGENT_CHECK = {
    **_CHECK,
    "ID": text,
    "ServiceID": text,
    "service_id": text,
    "Token": ignored,
}
AGENT_SERVICE = {
    **_SERVICE,
    "Name": text,
    "Check": structure(_OWN_CHECK),
    "Checks": several(structure(_OWN_CHECK), "structs.CheckTypes"),
    "enable_tag_override": flag,
    "tagged_addresses": _SERVICE["TaggedAddresses"],
    "Token": ignored,
}
CHECK_UPDATE = {"Status": text, "Output": text}

_CATALOG_CHECK = {
    **dict.fromkeys(("Node", "CheckID", "Name", "Status", "Notes", "Output"), text),
    **dict.fromkeys(("ServiceID", "ServiceName", "Type"), text),
    **dict.fromkeys(("ServiceTags", "CreateIndex", "ModifyIndex"), ignored),
    **_unsupported("Definition"),
}
CATALOG_REGISTER = {
    "ID": text,
    "Node": text,
    "Address": text,
    "Datacenter": text,
    "TaggedAddresses": pairs(text),
    "NodeMeta": pairs(text),
    "Service": structure({**_SERVICE, "Service": text}),
    "Check": structure(_CATALOG_CHECK),
    "Checks": several(structure(_CATALOG_CHECK), "structs.HealthChecks"),
    "SkipNodeUpdate": flag,
}
CATALOG_DEREGISTER = dict.fromkeys(
    ("Node", "Datacenter", "ServiceID", "CheckID", "Address"), text
)
