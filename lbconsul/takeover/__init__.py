"""Passes the listening sockets from one gateway to the next.

`client.take` fetches them before the new gateway starts, as `InheritedSockets`; a
`TakeoverServer` offers those of a gateway that runs, and a `TakeoverCoordinator`
decides when a gateway takes its predecessor's place.
"""
