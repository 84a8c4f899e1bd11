"""Moves connections and bytes."""
