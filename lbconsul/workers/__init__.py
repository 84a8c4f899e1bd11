"""Several processes, one balance.

A master watches Consul and starts workers that serve.  All count connections
in one table of shared memory, in which each process writes a row of its own.
"""
