"""Knows what Consul says, and keeps knowing it while Consul says nothing."""
