"""A TCP load balancer on Twisted, driven by HashiCorp Consul.

The rooms, from the ground up; each imports only from those above it:

* `errors`: what an operator can act on, one class for each.
* `text`: texts from outside, made fit for one line.
* `config`: the options, their grammar, and the configuration as values.
* `balance`: decides which upstream a connection gets; does no I/O.
* `stats`: counts how connections end, and what mappings and upstreams come to.
* `net`: sockets, the poller, splice, timers and rate limits.
* `process`: this process: signals, clocks, descriptors, user, state directory.
* `logs`: where the log goes, and in which format.
* `takeover`: passes listening sockets from one gateway to the next.
* `admin`: shows status, metrics, events and a page, and accepts orders.
* `dev`: a stand-in for Consul's HTTP API, with sample web servers.
* `consul`: asks Consul, and puts its answers into the registry.
* `proxy`: moves connections and bytes.
* `workers`: several processes with one balance.
* `gateway`: the parts of one gateway.
* `service`: `Gateway`, the Twisted service that joins them.
* `tap`: the command line, ``twistd lbconsul``.
* `start`: what twistd loads: early signals first, then `tap`.
* `__main__`: ``python -m lbconsul status``.

``docs/architecture.md`` says what each must not do, and follows a connection, an
answer of Consul, a drain and a reload through them.
"""
