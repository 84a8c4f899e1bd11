"""A catalog that speaks Consul's HTTP API in this process, and sample web servers.

``--dev`` runs it instead of a Consul, and tests use it.  It is a verified fake:
``tests/dev/contract`` sends it and a real Consul 1.8.7 the same requests and expects
the same answers.  It refuses what it does not implement, with an explanation.

- `records`, `views`: a node, a service, a check; and the JSON of their lists.
- `catalog`: the state of Consul's servers, and the indexes of its changes.
- `agent`: this node, and what is registered with its agent.
- `payload`, `schemas`: request bodies, parsed as strictly as by Consul.
- `registration`, `catalog_registration`: what those bodies register.
- `http`, `blocking`: HTTP requests, responses and errors, and blocking queries.
- `agent_api`, `catalog_api`, `api`: the paths, and the site that serves them.
- `web_server`, `service`, `quickstart`: upstreams to balance over, each on
  a port of its own, and commands to try next.
"""
