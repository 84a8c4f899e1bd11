"""Asks Consul, and keeps the registry's answers what Consul says they are.

While Consul does not answer, the last good answer stays in use.
"""
