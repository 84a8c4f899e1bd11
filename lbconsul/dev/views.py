"""The JSON of the catalog's content, as Consul lists it."""

from lbconsul.dev.records import Instance, Json, Node, Row

#: The fields of a service that does not use Connect.
_NO_CONNECT: Json = {"Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {}}


def node_json(row: Row[Node], datacenter: str) -> Json:
    """A node as `/v1/catalog/nodes` lists it."""
    node = row.value
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": datacenter,
        "TaggedAddresses": dict(node.tagged_addresses) or None,
        "Meta": dict(node.meta) or None,
        **row.indexes(),
    }


def health_json(instance: Instance, datacenter: str) -> Json:
    """An instance as `/v1/health/service/<name>` lists it."""
    service = instance.service.value
    return {
        "Node": node_json(instance.node, datacenter),
        "Service": {
            **service.json(),
            "Meta": dict(service.meta) or None,
            **_NO_CONNECT,
            **instance.service.indexes(),
        },
        "Checks": [
            row.value.json(row.created, row.modified) for row in instance.checks
        ],
    }


def catalog_json(instance: Instance, datacenter: str) -> Json:
    """An instance as `/v1/catalog/service/<name>` lists it, without checks."""
    node = node_json(instance.node, datacenter)
    service = instance.service.value
    listed = service.json()
    tagged = listed.get("TaggedAddresses")
    return {
        **{key: node[key] for key in ("ID", "Node", "Address", "Datacenter")},
        "TaggedAddresses": node["TaggedAddresses"],
        "NodeMeta": node["Meta"],
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": listed["Tags"],
        "ServiceAddress": service.address,
        **({"ServiceTaggedAddresses": tagged} if tagged else {}),
        "ServiceWeights": service.weights(),
        "ServiceMeta": listed["Meta"],
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": _NO_CONNECT["Proxy"],
        "ServiceConnect": _NO_CONNECT["Connect"],
        **instance.service.indexes(),
    }
