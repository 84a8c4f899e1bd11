"""A catalog that speaks Consul's HTTP API in this process, and sample web servers.

It is what ``--dev`` runs instead of a Consul, and what tests talk to.  It is a
verified fake: ``tests/dev/contract`` asks it and a real Consul 1.8.7
the same questions and wants the same answers.  What it cannot do it refuses in
words, so that it never pretends.

- `records`, `views`: a node, a service, a check; and the JSON of their lists.
- `catalog`: what the servers of Consul know, and the indexes of its changes.
- `agent`, `ttl`, `own_node`: what is registered with the agent of this node.
- `payload`, `schemas`, `duration`: bodies, read as strictly as Consul reads them.
- `registration`, `catalog_registration`: what those bodies mean.
- `http`, `blocking`, `reply`, `refused`: HTTP requests, those that wait,
  and what is answered.
- `agent_api`, `catalog_api`, `api`: the paths, and the site that has them.
- `samples`, `web_server`, `service`, `quickstart`: something to balance over, on
  ports of its own, and what to try next.

The first five lines know nothing of Twisted.
"""
