# make setup · fmt · check · test · bench · bench-watch · simulate · docs · demo
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup fmt check test bench bench-peers bench-watch bench-scale soak kills faults simulate show-gate docs demo demo-banking77 wheel ci-deps clean

help:
	@echo "make demo [EXIT=1]   the support-desk story, live (EXIT=1 stops at the summary)"
	@echo "make test            the environment and the tests"
	@echo "make setup fmt check bench bench-peers bench-watch bench-scale soak kills simulate docs demo-banking77 wheel ci-deps clean"

# The stamp depends on the locks: a changed lock installs again.
$(VENV)/.stamp: requirements-dev.lock requirements-build.lock pyproject.toml tools/bootstrap.py
	$(PYTHON) tools/bootstrap.py --venv $(VENV) --lock requirements-dev.lock
	@touch $@

# The demo needs only what users need.
$(VENV)/.stamp-core: requirements.lock requirements-build.lock pyproject.toml tools/bootstrap.py
	@if [ ! -e $(VENV)/.stamp ]; then $(PYTHON) tools/bootstrap.py --venv $(VENV) --lock requirements.lock; fi
	@touch $@

setup: $(VENV)/.stamp

fmt: setup
	$(BIN)/ruff check --fix -q src tests tools bench examples || true
	$(BIN)/ruff format -q src tests tools bench examples

check: setup
	$(BIN)/ruff check src tests tools bench examples
	$(BIN)/ruff format --check -q src tests tools bench examples
	$(BIN)/mypy

# Files of tests go to so many processes; WORKERS=1 runs all in one, for a debugger. Threads of numerical libraries that
# wait for each other on busy cores would only spin. A process of tests that dies ends the run: started again, its files
# would be handed out twice, and the others would wait for ever.
WORKERS ?= 2
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0) $(ARGS)

# Beside what people use: their environments (1.6 GB), every server with wrk (12 minutes), then ten minutes of steady load.
bench-peers: setup
	$(BIN)/python bench/peers/install.py

bench: bench-peers
	$(BIN)/python bench/serving.py $(if $(WRITE),--write)
	$(BIN)/python bench/soak.py $(if $(WRITE),--write)

# The watch beside Evidently, NannyML and whylogs: their environments (2 GB), then all on the same data (25 minutes).
bench-watch: setup
	$(BIN)/python bench/peers/install.py evidently nannyml whylogs
	$(BIN)/python bench/watch.py $(ARGS) $(if $(WRITE),--write)

# What a window costs the watch, from 1,000 to 10,000,000 requests.
bench-scale: setup
	$(BIN)/python bench/watch_scale.py $(ARGS) $(if $(WRITE),--write)

kills: setup
	$(BIN)/python bench/kill_workers.py $(ARGS)

soak: setup
	$(BIN)/python bench/soak.py $(ARGS)

# Loops killed and stopped at every failpoint on both stores (15 minutes); how long a rollback takes in every worker.
faults: setup
	$(BIN)/python bench/loop_faults.py --out bench/results/loop_faults.json
	$(BIN)/python bench/rollback.py --out bench/results/rollback.json

simulate: setup
	$(BIN)/python bench/simulate_watch.py
	$(BIN)/python bench/simulate_onset.py
	$(BIN)/python bench/simulate_signals.py
	$(BIN)/python bench/simulate_rewards.py
	$(BIN)/python bench/simulate_quality.py
	$(BIN)/python bench/simulate_rollout.py $(if $(WRITE),--write)

# The gate's self-test, stress, audit, scores, a reproduce run, time and memory; ARGS="--data FOLDER" names the data.
show-gate: setup
	$(BIN)/python tools/show_gate.py $(ARGS)

docs: setup
	$(BIN)/python -m mainstay.config.document > docs/configuration.md
	$(BIN)/python -m mainstay.cli.document > docs/cli.md

demo: $(VENV)/.stamp-core
	$(BIN)/python -m mainstay.drills examples/support-desk $(if $(EXIT),--exit) --json build/demo/support-desk.json

demo-banking77: $(VENV)/.stamp-core
	$(BIN)/python examples/banking77/run.py $(if $(DATA),--data $(DATA)) $(if $(EXIT),--exit) --json build/demo/banking77.json

wheel: setup
	$(BIN)/python -m build --no-isolation --wheel --outdir build/dist .

# Debian only: what the tests need beside Python.
ci-deps:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv chromium postgresql fonts-noto-color-emoji \
		podman buildah runc netavark aardvark-dns mmdebstrap iptables \
		redis-server prometheus prometheus-alertmanager strace wrk >/dev/null

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
