"""Several processes with one balance.

A master watches Consul, and its `Supervisor` keeps worker processes that serve.  All
count connections in one table of shared memory, each process in a row of its own.
"""
