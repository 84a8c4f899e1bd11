"""Limits of clients' rates, of requests at a time, and of the load that is taken."""
