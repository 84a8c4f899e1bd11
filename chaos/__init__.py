"""The chaos suite: break what a gateway stands on, and see what its clients notice.

``python -m chaos`` plays each row of `chaos.rows` with real processes: a real Consul,
real web servers, the gateway as its users run it, and a load of which every request
is accounted for.  A row has required figures; one line says whether they are met.

Each row is a process in namespaces of its own (network and processes), in which it is
the first one.  So ports are its own, nftables rules reach nobody else, and whatever a
row starts ends with it, on every way out, be it ``kill -9``.
"""
