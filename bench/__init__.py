"""Compare lbconsul with the balancers that people run: CPU for the same work."""
