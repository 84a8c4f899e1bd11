"""A TCP load balancer on Twisted, driven by HashiCorp Consul.

The rooms of the house, and who may import whom::

    start -> tap -> {signals, service}
    service -> {watches -> consul, front -> {proxy, workers}, lookout -> admin,
                dev, handover} -> balance
    worker_main -> worker -> {proxy, workers} -> balance
    config, errors and text are open to all

* `lbconsul.balance` decides.  It knows instances, upstreams, standings,
  weights, policies and leases, and can do no I/O, because it imports none.
* `lbconsul.consul` knows what Consul says.  A `Watch` asks one blocking
  question for ever and hands each valid answer to the registry.
* `lbconsul.proxy` moves connections and bytes.  A `Listener` accepts, a
  `ProxyFactory` takes a lease from the registry, a `Dial` connects, a `Relay`
  joins the two sockets until both directions are over.
* `lbconsul.admin` shows what the others know: status, metrics, a live stream, a
  page; and hands orders to them.
* `lbconsul.net` has what sockets need, whoever they are for.
* `lbconsul.dev` is a catalog that speaks Consul's HTTP API in-process, with
  sample web servers, for `--dev` and for tests.
* `lbconsul.handover` passes the listening sockets from one gateway to the next.
* `lbconsul.workers` makes several processes one balance: a table of counts in
  shared memory, and how a master tells its workers what the registry knows.
* `lbconsul.service` is the one place where the rooms meet: a gateway has
  `lbconsul.gateway.watches` that ask, and a `lbconsul.gateway.data_plane` that serves.
  `lbconsul.config.diff` says what another configuration alters,
  `lbconsul.gateway.graceful_shutdown` is the end in good order, and
  `lbconsul.gateway.admin` what the admin side is shown.
* `lbconsul.tap` is the command line, `lbconsul.process.signals` what signals ask of it,
  and
  `lbconsul.start` what twistd loads, with `lbconsul.process.early_signals` before all
  else; `lbconsul.workers.worker` is a worker process, started by the program
  `lbconsul.workers.__main__`.

The registry is the one object that both sides share: watches call
``replace(question, instances)``, connections call ``lease(selection)``.
"""
