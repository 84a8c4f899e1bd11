"""Listeners, sessions, dials and relays: moves connections and bytes."""
