"""Compare lbconsul with the balancers that people run: what the same work costs.

* `bench.peers` starts the balancers, `bench.stage` what stands around them: a
  real Consul and web servers.
* `bench.compare`, `bench.latency` and `bench.memory` measure them side by side;
  `bench.connections`, `bench.registry`, `bench.mappings` and `bench.flapping`
  measure how a cost grows.
* `bench.http` and `bench.http_growth` do both in HTTP mode, once `bench.http_check`
  has seen that each balancer does what is measured; `bench.http_table` has the limits.
* `bench.results` keeps what was measured, `bench.table` prints it, `bench.plots`
  draws it.

README.md beside this file tells how to read the numbers.
"""
