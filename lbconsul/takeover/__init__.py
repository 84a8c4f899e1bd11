"""Passes the listening sockets from a running gateway to its successor.

`client.take` fetches them as `InheritedSockets` before the new gateway starts.  A
`TakeoverServer` offers those of a running gateway, and a `TakeoverCoordinator` decides
when a gateway replaces its predecessor.
"""
