"""Sockets, the poller, splice, timers and rate limits.

Nothing here knows pools, upstreams or the admin side; `listening_socket` knows the
`Mapping` of `lbconsul.config.model` that a socket is for.
"""
