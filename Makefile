# make demo       a gateway with a catalog and three web servers of its own
# make test       every test, with a real Consul
# make test-unit  those that start no program: two minutes
# make test-oldest  the same with the oldest libraries that pyproject.toml allows
# make test-pythons  the same with each of PYTHONS, 3.11 to 3.13
# make fuzz       look for messages that llhttp reads otherwise, for a minute
# make autobahn   Autobahn's WebSocket cases, directly and through a gateway (Python 2.7)
# make dist       the sdist and the wheel, in dist/
# make test-dist  the sdist, and from there its tests and its site
# make docs       the pages of docs/ as a site, in build/docs
# make changelog  CHANGELOG.md from changelog.d
# make check      style and types
# make image-test build the Docker image and ask through it (root, buildah)
# make pin        the newest packages for the Docker image, in docker/
# make bench      what the same work costs, beside HAProxy, nginx and Envoy
# make bench-quick  the same within three minutes
# make chaos      break what a gateway stands on (root, nftables, iproute2)
# make chaos-quick  the same within eight minutes
# make soak       load and churn for two hours

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# An ordinary editable install hides the plugin from twistd; this form does not.
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check \
	--config-settings editable_mode=compat --editable
PURE = lbconsul/balance/*,lbconsul/stats/*,lbconsul/config/*,lbconsul/checks/handover.py,lbconsul/checks/http_probe.py,lbconsul/checks/schedule.py,lbconsul/checks/state.py,lbconsul/consul/catalog.py,lbconsul/consul/check_list.py,lbconsul/consul/blocking_query.py,lbconsul/consul/entries.py,lbconsul/consul/location.py,lbconsul/consul/incremental.py,lbconsul/consul/keeper.py,lbconsul/consul/registration.py,lbconsul/consul/watch_stats.py,lbconsul/consul/resolv_conf.py,lbconsul/extensions/hook*.py,lbconsul/http/*,lbconsul/limits/*,lbconsul/net/cidr.py,lbconsul/net/crc32c.py,lbconsul/net/proxy_*.py,lbconsul/net/rate_limit.py,lbconsul/proxy/answer_reasons.py,lbconsul/proxy/retry.py,lbconsul/proxy/slow_upstreams.py,lbconsul/tags/*,lbconsul/tls/client_hello.py,lbconsul/usage/*,$(TOP),$(WORKERS)
TOP = lbconsul/top/columns.py,lbconsul/top/detail_page.py,lbconsul/top/details.py,lbconsul/top/mapping_details.py,lbconsul/top/figures.py,lbconsul/top/keys.py,lbconsul/top/lines.py,lbconsul/top/link.py,lbconsul/top/orders.py,lbconsul/top/problems.py,lbconsul/top/rows.py,lbconsul/top/summary.py,lbconsul/top/view.py
WORKERS = lbconsul/workers/restart_backoff.py,lbconsul/workers/versioned_catalog.py,lbconsul/workers/messages.py,lbconsul/workers/catalog_sender.py,lbconsul/workers/stderr.py,lbconsul/workers/catalog_replica.py,lbconsul/workers/slots.py,lbconsul/workers/shared_counter.py

# How many tests run at the same time: those that start programs mostly wait, all
# others do not, and each process of tests has to collect them.
JOBS ?= $(shell echo $$(( $$(nproc) * 5 / 2 )))
UNIT_JOBS ?= $(shell nproc)
BESIDE = --dist loadgroup --no-loadscope-reorder

# Even where that is set: tests start the same programs a thousand times, and pytest
# rewrites each test, in each of its processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-unit test-oldest test-pythons fuzz autobahn dist test-dist docs changelog check consul sslyze image-test pin bench bench-quick chaos chaos-quick soak clean

demo: $(VENV)/.run
	$(BIN)/twistd --nodaemon --pidfile= lbconsul --dev --map 8080:webserver

# What a failed test's programs said is in .cache/failed-tests.
test: $(VENV)/.test consul sslyze
	$(BIN)/python -m coverage erase
	rm -rf .cache/failed-tests
	$(BIN)/python -m coverage run -m pytest -n $(JOBS) $(BESIDE)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --include='$(PURE)' --fail-under=100
	$(BIN)/python -m coverage report --fail-under=95

# No process, no browser, no Consul.
test-unit: $(VENV)/.test
	$(BIN)/python -m pytest -m 'not process' -n $(UNIT_JOBS) $(BESIDE)

OLDEST = sed -n '/^dependencies/,/^]/s/^ *"\([a-z._-]*\) >=\([0-9.]*\).*/\1==\2/p'

test-oldest:
	$(MAKE) VENV=.venv-oldest .venv-oldest/.test
	$(OLDEST) pyproject.toml | .venv-oldest/bin/pip install --quiet --requirement /dev/stdin
	$(MAKE) VENV=.venv-oldest test-unit

# SECONDS=600 SEED=1
fuzz: SECONDS = 60
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.http.fuzz $(SECONDS) $(SEED)

# The suite is fetched into .cache/autobahn.  Where there is no Python 2.7 it says
# that it was skipped.  ARGS="--cases 1.* 12.1.1"
autobahn: $(VENV)/.test consul
	$(BIN)/python -m tests.autobahn $(ARGS)

# Each in a venv of its own, .venv-3.12 and so on.
PYTHONS ?= 3.11 3.12 3.13

test-pythons: $(PYTHONS:%=test-python-%)

test-python-%:
	$(MAKE) PYTHON=$(call python,$*) VENV=.venv-$* test-unit

# By its name, else of pyenv: a shim works only for the versions that pyenv has chosen.
python = $(firstword $(foreach each,$(shell which -a python$(1)) \
	$(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python),\
	$(shell $(each) -c "print('$(each)')" 2>/dev/null)) python$(1))

# An sdist and a wheel, as they are uploaded, in dist/.
dist: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

# The sdist is whole: its tests pass where nothing else is, and its site can be made.
test-dist: dist
	rm -rf .cache/sdist && mkdir -p .cache/sdist
	tar -xf dist/*.tar.gz -C .cache/sdist --strip-components=1
	$(MAKE) -C .cache/sdist test-unit docs

# A warning is an error: what is missing, what no list has, what a link does not find.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --builder html --doctree-dir .cache/doctrees --nitpicky \
		--fail-on-warning --keep-going --fresh-env --quiet docs build/docs

# CHANGELOG.md from changelog.d: as "Unreleased", or VERSION=0.2.0.
changelog: $(VENV)/.test
	$(BIN)/python scripts/changelog $(VERSION)

check: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The tests say loudly what they skipped when there is no Consul to be had.
consul:
	@test -n "$$CONSUL" || scripts/fetch-consul .cache/consul || true

# It has a venv of its own: it demands an older cryptography than ours.  Without it
# the tests say so.
sslyze:
	@test -x .cache/sslyze/bin/sslyze || { $(PYTHON) -m venv .cache/sslyze && \
		.cache/sslyze/bin/pip install --quiet --disable-pip-version-check 'sslyze>=6.3,<7'; } || true

pin: $(VENV)/.test
	$(BIN)/python scripts/pin-image

image-test: $(VENV)/.run consul
	$(BIN)/python -m tests.image

# It installs no programs: it says which are missing.  ARGS="--only latency" ...
bench: $(VENV)/.bench consul
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(VENV)/.bench consul
	$(BIN)/python -m bench --quick $(ARGS)

# It installs no programs: a row that lacks one says so, and is not met.
# ARGS="--only flapping" ...
chaos: $(VENV)/.run consul
	$(BIN)/python -m chaos $(ARGS)

chaos-quick: $(VENV)/.run consul
	$(BIN)/python -m chaos --quick $(ARGS)

# ARGS="--minutes 30"
soak: $(VENV)/.run consul
	$(BIN)/python -m chaos.soak $(ARGS)

$(VENV)/.run: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(INSTALL) '.[test,check]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	$(INSTALL) '.[docs]'
	@touch $@

$(VENV)/.bench: $(VENV)/.run
	$(INSTALL) '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-* .cache build dist *.egg-info
