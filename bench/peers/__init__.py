"""The balancers that are compared, each with one thread or process."""
