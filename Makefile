# `make help` lists the verbs.

PYTHON_FILES := services openline_server clients docs/conf.py deploy scripts loadtest tests
BIN := .venv/bin
# For more of pytest: make test PYTEST="-k recover -x". PYTEST_ADDOPTS, which pytest reads itself, works too.
PYTEST ?=
NEED := scripts/setup.sh
# Tests of running systems wait for more than half of their time: twice as many workers as there are cores. In the order
# of their files, so that the short ones come last and no worker ends long after the others.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 2)))
BESIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
OVERLAY ?= dev
export REDIS_URL DATABASE_URL
# Without compiled files every process of a test would compile all that it imports anew: half of the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run dev setup unit unit-1 unit-2 test test-store test-slow clients site bench lint types fmt coverage contracts nginx-check rules-check dashboards lock \
	docs ci clean load chaos capacity images images-push up down logs scale roll test-docker \
	k8s-secrets k8s-rotate-keys k8s-check test-deploy

##@ Begin here

help:  ## List the verbs
	@echo "Openline: make VERB"
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST)
	@echo
	@echo "  A second copy beside the first: OPENLINE_PORT=8090 OPENLINE_VAR=var-8090 make run"

run:  ## Run everything on this machine until Ctrl-C (sets up what is missing)
	@$(NEED) run && OPENLINE_TIED=1 OPENLINE_DEMO="$${OPENLINE_DEMO:-on}" exec $(BIN)/python -m deploy.local.run

dev:  ## The same, and a service restarts when its files change
	@$(NEED) run && OPENLINE_TIED=1 OPENLINE_DEMO="$${OPENLINE_DEMO:-on}" OPENLINE_RELOAD=on \
		OPENLINE_DRAIN_SECONDS="$${OPENLINE_DRAIN_SECONDS:-0}" exec $(BIN)/python -m deploy.local.run

setup:  ## Set up what run, dev, unit, lint and test need
	@$(NEED) test

# Two plain processes of pytest, each with its half of the tests: what pytest-xdist adds to tests of milliseconds is a
# fourth of their time. Status 5 of pytest: none of this half was asked for.
unit:  ## Run the tests that need no server, in less than half a minute: unit, contract, property, websocket
	@$(NEED) dev
	@echo "openline: tests that need no server, in two halves side by side"
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target unit-1 unit-2

UNIT_1 := tests/unit/gateway tests/unit/loadtest tests/contract tests/property tests/websocket
UNIT_2 := tests/unit $(patsubst %,--ignore=%,$(filter tests/unit/%,$(UNIT_1)))
unit-1 unit-2: unit-%:
	@$(BIN)/python -m pytest -q --hypothesis-profile quick -p no:kmock -o cache_dir=.pytest_cache/$@ \
		$(UNIT_$*) --ignore-glob='*/contract/test_redis_*' -m "not server and not slow" $(PYTEST) || [ $$? = 5 ]

test:  ## Run the tests: unit, contract, property, websocket, integration, end to end
	@$(NEED) test
	@$(BIN)/python -m pytest $(BESIDE) --hypothesis-profile quick --ignore=tests/clients --ignore=tests/chaos -p no:kmock \
		-m "not slow and not browser and not docker and not deploy" $(PYTEST)

test-store:  ## Run the broker's contract against a store: OPENLINE_TEST_REDIS=redis://... (it is EMPTIED), or the path of a server
	@[ -n "$$OPENLINE_TEST_REDIS" ] || { echo "openline: give OPENLINE_TEST_REDIS, a URL or the path of a server" >&2; exit 2; }
	@$(NEED) dev
	@$(BIN)/python -m pytest tests/contract/test_redis_streams.py tests/property/test_broker_model.py \
		-k "TestRedis or redis]" $(PYTEST)

# Tests that measure come last, one after the other. Status 5 of pytest: none of these was asked for.
test-slow:  ## Run the slower tests: all examples of the property tests, long schedules, faults, a real browser
	@$(NEED) clients
	@slow() { $(BIN)/python -m pytest -m "$$@" $(PYTEST) || [ $$? = 5 ]; }; failed=0; \
		slow "not slow" $(BESIDE) tests/property || failed=1; \
		slow "(slow or browser) and not alone and not docker and not deploy" $(BESIDE) || failed=1; \
		slow "alone" || failed=1; exit $$failed

# Not `npm ci`: it fails where an index lacks a package that is optional and for another system.
clients:  ## Check and test the client packages: JavaScript, Python, what users install
	@$(NEED) clients
	@cd clients/js && export PATH="$(CURDIR)/$(BIN):$$PATH" && \
		{ [ node_modules/.package-lock.json -nt package-lock.json ] || npm install --no-save --silent; } && npm run -s check
	@$(BIN)/python -m pytest $(BESIDE) -m "clients and not browser" tests/clients $(PYTEST)

##@ Measure

bench:  ## Measure what a delivery, connection, handshake and publish cost (BENCH_ROUNDS, BENCH_ONLY, BENCH_QUICK=1)
	@$(NEED) nginx
	@$(BIN)/python -m loadtest.bench $(BENCH)

load:  ## Load what `make run` has started, or LOAD_HOST, or a system of its own; LOAD="-u 500 --shape spike"
	@$(NEED) nginx
	@$(BIN)/python -m loadtest.swarm $(LOAD)

chaos:  ## Mistreat a system under clients of all kinds, and check what each was told (CHAOS="--minutes 3 --seed 7")
	@$(NEED) clients
	@cd clients/js && export PATH="$(CURDIR)/$(BIN):$$PATH" && \
		{ [ node_modules/.package-lock.json -nt package-lock.json ] || npm install --no-save --silent; } && \
		{ [ -e dist/index.js ] || npm run -s build; }
	@$(BIN)/python -m loadtest.chaos $(CHAOS)

capacity:  ## How much a gateway carries here, and how many of everything CAPACITY_FOR=1000000 connections need
	@$(NEED) nginx
	@$(BIN)/python -m loadtest.capacity $(CAPACITY)

##@ Containers

images:  ## Build the images (OPENLINE_VERSION names their tag, dev unless given)
	@scripts/compose.sh images

images-push:  ## Push the images to a registry: make images-push REGISTRY=registry.example.org/team
	@scripts/compose.sh push "$(REGISTRY)"

up:  ## Start everything in containers and say how to send a first message
	@scripts/compose.sh up

down:  ## Stop the containers; what they keep stays (DOWN=-v removes it)
	@scripts/compose.sh down $(DOWN)

logs:  ## Follow the containers' logs (LOGS=gateway for one service)
	@scripts/compose.sh logs $(LOGS)

scale:  ## Run so many gateways: make scale N=3
	@scripts/compose.sh scale "$(N)"

roll:  ## Replace the gateways by the present image and settings, one after another
	@scripts/compose.sh roll

##@ Kubernetes, and tests of deployments

k8s-secrets:  ## Make the missing secret files of an overlay (OVERLAY=prod REDIS_URL=... DATABASE_URL=...; dev needs none)
	@$(NEED) python && $(BIN)/python -m scripts.k8s_secrets $(OVERLAY)

k8s-rotate-keys:  ## Sign tokens with the next key from the next kubectl apply on (OVERLAY=dev unless given)
	@$(NEED) python && $(BIN)/python -m scripts.k8s_secrets --rotate $(OVERLAY)

k8s-check:  ## Check the manifests: built, valid for the oldest and newest Kubernetes, restricted, checkov
	@$(NEED) manifests && $(BIN)/python -m scripts.check_k8s

test-deploy:  ## Run the tests of manifests (kubectl, a stand-in of the API server) and of dashboards and alerts (Prometheus)
	@$(NEED) deploy && $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "deploy and not docker" \
		tests/deploy $(PYTEST)

test-docker:  ## Run the tests that need a Docker engine: images, compose, faults, pods
	@$(NEED) docker
	@$(BIN)/python -m tests.deploy.standins
	@scripts/compose.sh images
	@$(BIN)/python -m pytest -m docker $(PYTEST)

##@ Change it

lint:  ## Check style, spelling, import contracts and the Dockerfile
	@$(NEED) dev
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/codespell
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/lint-imports

contracts:  ## Check who may import whom
	@$(NEED) dev
	$(BIN)/lint-imports

nginx-check:  ## Check the nginx configuration with nginx and gixy
	@$(NEED) nginx
	$(BIN)/python -m scripts.check_nginx

rules-check:  ## Check and test the rules of Prometheus, and Alertmanager's configuration
	@$(NEED) rules
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/tests/*.yml
	amtool check-config deploy/alertmanager/alertmanager.yml

dashboards:  ## Write Grafana's dashboards, which are built by code
	@$(NEED) dev
	$(BIN)/python -m deploy.grafana

coverage:  ## Demand that each pure module is covered wholly by its own test file
	@$(NEED) dev
	@$(BIN)/python -m tests.support.own_coverage

types:  ## Check types
	@$(NEED) dev
	$(BIN)/mypy

fmt:  ## Format, and fix what can be fixed
	@$(NEED) dev
	$(BIN)/ruff format $(PYTHON_FILES)
	$(BIN)/ruff check --fix $(PYTHON_FILES)

lock:  ## Lock the newest packages, with hashes (needs uv)
	uv pip compile pyproject.toml --extra run --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-header --upgrade -o requirements.txt
	uv pip compile pyproject.toml --extra run --group dev --group load --group deploy --universal --python-version 3.11 \
		--generate-hashes --no-strip-extras --no-header --upgrade -c requirements.txt -o requirements-dev.txt
	for name in gateway auth publisher; do \
		uv pip compile --group $$name --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header \
			--upgrade -c requirements.txt -o deploy/requirements/$$name.txt; done
	uv pip compile --group locust --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header \
		--upgrade -c requirements-dev.txt -o deploy/requirements/loadtest.txt
	uv pip compile --group tools --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header \
		--upgrade -o requirements-tools.txt
	uv pip compile pyproject.toml --extra run --group dev --group load --group deploy --group clients --universal \
		--python-version 3.11 --generate-hashes --no-strip-extras --no-header --upgrade -c requirements-dev.txt \
		-o requirements-clients.txt

docs:  ## Write the reference that is generated from the code
	@$(NEED) dev
	$(BIN)/python -m scripts.settings_reference
	$(BIN)/python -m scripts.metrics_reference
	$(BIN)/python -m scripts.protocol_reference
	$(BIN)/python -m scripts.openapi_reference
	$(BIN)/python -m scripts.http_reference
	$(BIN)/python -m scripts.prometheus_rules

site:  ## Build the documentation as static files in var/site, and demand that every link inside it leads somewhere
	@$(NEED) clients
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d var/site-cache docs var/site
	@echo "openline: the site is in var/site; to look at it: python3 -m http.server -d var/site 8000"

ci:  ## Everything that continuous integration runs
	@.ci/run

clean:  ## Remove what runs and tests have written (not the virtual environment)
	@! { [ -e var/run.json ] && kill -0 "$$(sed -n 's/.*"supervisor": \([0-9]*\).*/\1/p' var/run.json)" 2>/dev/null; } \
		|| { echo "openline: make run is up; stop it first" >&2; exit 1; }
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .setup.lock
	find services openline_server deploy scripts loadtest tests -name __pycache__ -type d -prune -exec rm -rf {} +
