# `make run`: environment, then the bundled task. `make test`: everything the tests need, then the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ENGINE := .venv-engine
ENGINE_READY := $(ENGINE)/.ready
ENGINE_INSTALLED := $(ENGINE)/.installed

.PHONY: env engine run test test-side-by-side test-alone test-engine check soak clean

env: $(READY)

$(READY): pyproject.toml requirements/cpu.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@command -v g++ >/dev/null || { echo "g++ is needed: install it (on Debian: apt-get install g++)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/cpu.txt -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

engine: $(ENGINE_READY)

# Needs no other target: make can install it beside the services' environment.
$(ENGINE_INSTALLED): requirements/engine-cpu.txt
	test -x $(ENGINE)/bin/pip || $(PYTHON) -m venv $(ENGINE)
	$(ENGINE)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-compile -r $<
	@touch $@

# The services' environment stands behind the engine's own, so that torch is installed once. Modules are compiled by
# importing what an engine imports: a fifth of what is installed.
$(ENGINE_READY): $(ENGINE_INSTALLED) bench/engine/model.py | $(READY)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(ENGINE)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/services.pth
	PYTHONDONTWRITEBYTECODE= $(ENGINE)/bin/python -P -c 'import vllm.entrypoints.openai.api_server, vllm.v1.worker.cpu_worker'
	PYTHONDONTWRITEBYTECODE= $(ENGINE)/bin/python -m bench.engine.model tiny $(ENGINE)/tiny
	@touch $@

run: $(READY)
	$(BIN)/specgen run examples/cauchy_smoother/task.py --replay examples/cauchy_smoother/recording

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The checks run while the engine's environment is installed. What asks how fast a kernel is has the machine for itself.
test: export SPECGEN_JUDGE_CACHE = $(CURDIR)/$(VENV)/judge-cache
test:
	$(MAKE) --no-print-directory -j 2 check engine
	$(MAKE) --no-print-directory test-side-by-side test-alone

# A file each, more of them than cores: most tests wait for processes of their own.
test-side-by-side: $(READY) $(ENGINE_READY)
	$(BIN)/python -m pytest -n 4 --dist loadfile -m "not soak and not alone"

test-alone: $(READY)
	$(BIN)/python -m pytest -m "alone and not soak"

# Real engines on the CPU, in an environment of their own, and nothing else.
test-engine: $(READY) $(ENGINE_READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "engine and not soak"

soak: $(READY)
	$(BIN)/python -m pytest -m soak

clean:
	rm -rf $(VENV) $(ENGINE) runs
