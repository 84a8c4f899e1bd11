"""Queries Consul and keeps the registry's pools equal to its answers.

While Consul does not answer, the last good answer stays in use.
"""
