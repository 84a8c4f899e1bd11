"""Several processes with one balance.

The master process watches Consul, and its `Supervisor` keeps worker processes that
serve clients.  All processes count connections in one table of shared memory, each in a
row of its own.
"""
