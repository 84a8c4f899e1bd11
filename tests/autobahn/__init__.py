"""Autobahn's WebSocket cases, directly and through a gateway: ``make autobahn``."""
