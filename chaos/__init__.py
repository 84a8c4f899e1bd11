"""The chaos suite: break what a gateway stands on, and see what its clients notice.

``python -m chaos`` plays each row of `chaos.rows` with real processes: a real Consul,
real web servers, the gateway as its users run it, and a load of which every request
is accounted for.  A row has required figures; one line says whether they are met.

Each row is a process in namespaces of its own (network and processes), in which it is
the first one.  So its ports and nftables rules affect no other process, and
all that a row starts ends with it, even after ``kill -9``.
"""
