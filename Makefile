# Every target first brings .venv up to date with the lock files, which takes no time where it is.
# Written for GNU Make 3.81 and a POSIX shell, so that it runs on macOS as it stands.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# The interpreters tried for .venv, in this order.
PYTHON ?= python3.13 python3.12 python3.11 python3
# Where there is no `quarto`, the one to install beside the environment, and how long its download may take.
QUARTO_VERSION := 1.9.38
QUARTO_SHA256 := bd59fdc0d868cd670ea4ebbf5997bfdfd6c81a0d9f50fe099f40f992b257ce18
QUARTO_SECONDS ?= 120

# A run starts Python hundreds of times, and without bytecode each start compiles all of torch again.
unexport PYTHONDONTWRITEBYTECODE

# Recipes, and the programs that they start, find `dvc`, `thaw` and `quarto` of the environment first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

RUNTIME := .venv/.project .venv/.quarto

.PHONY: help report quick reproduce test bench docs env hooks lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "make PYTHON=/path/to/python3 TARGET   builds .venv with that Python (3.11 or newer)"
	@echo "THAW_QUARTO=0 make TARGET             never tries to install Quarto"

report: $(RUNTIME) ## Bring the report up to date with params.yaml, training only what changed
	@.venv/bin/thaw report

quick: $(RUNTIME) ## Train and report everything at the quick profile, in a scratch copy
	@.venv/bin/thaw quick

reproduce: $(RUNTIME) ## Retrain everything and compare each metric with the committed one
	@.venv/bin/thaw reproduce

test: $(RUNTIME) .venv/.dev ## Run the linters, the type checker and the tests
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: .venv/.dev ## Measure training against a plain fp32 loop, and what an evaluation costs
	@.venv/bin/python benchmarks/throughput.py
	@.venv/bin/python benchmarks/evaluation.py

docs: .venv/.dev ## Write the API pages from the docstrings to docs/api
	@.venv/bin/pdoc --output-directory docs/api thaw
	@echo "The API pages start at docs/api/index.html"

env: $(RUNTIME) ## Build .venv from the lock file, and try again to install Quarto where there is none
	@echo "The environment is ready: . .venv/bin/activate"

hooks: .venv/.dev ## Install the git hooks of .pre-commit-config.yaml
	@.venv/bin/pre-commit install

lock: .venv/.made ## Bring both lock files up to date with pyproject.toml
	@$(compile) --group build -o requirements.lock
	@$(compile) --group build --group dev -c requirements.lock -o requirements-dev.lock
	@echo "The pinned versions are in requirements.lock and requirements-dev.lock"

clean: ## Remove caches and API pages; results, models and .venv stay
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .quarto report/.quarto report/.jupyter_cache report/_freeze docs/api
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- The environment -------------------------------------------------------------------------------------------------
# Each step leaves a stamp in .venv and runs again when its lock file is newer than the stamp.

# An environment is made anew where its Python is gone, the project has moved since (the scripts and the editable
# install name the old place), or an installation was cut short (a package may be half there and look whole). An
# installation leaves the marker only when it is cut short, and locks it meanwhile, so that a second `make` waits.
begin_install = exec 9>.venv/.unfinished; .venv/bin/python -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
cut_short = { test -e .venv/.unfinished && .venv/bin/python -c \
	'import fcntl; fcntl.flock(open(".venv/.unfinished"), fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; }

ifneq ($(wildcard .venv/.made),)
ifneq ($(shell exec 2>/dev/null; ! $(cut_short) && test "$$(cat .venv/.made)" = "$(CURDIR)" \
	&& test -x .venv/bin/uv && .venv/bin/python -c "" && echo whole),whole)
.PHONY: .venv/.made
endif
endif

# Prints the first Python that is new enough and can make environments, or one sentence on what is missing.
define find_python
for python in $(PYTHON); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then echo "$$python"; exit; fi; \
	incomplete=$$("$$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
done; \
if [ "$$incomplete" ]; then \
	echo "$$incomplete has no venv module: install it (Debian, Ubuntu: apt install $$incomplete-venv), then make again."; \
else \
	echo "No Python 3.11 or newer found as $(PYTHON): install one, or name it: make PYTHON=/path/to/python3."; \
fi >&2; \
exit 1
endef

# The pinned uv with its hashes, cut out of the lock file.
uv_requirement = awk '/^[^ ]/ { wanted = /^uv==/ } wanted && !/^ *\#/' requirements.lock

# Whether there is an environment to start from: one that was made by hand, without this file.
made_by_hand = test ! -e .venv/.made && ! $(cut_short) \
	&& .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null

.venv/.made:
	@git --version >/dev/null 2>&1 || { echo "thaw needs git: install it, then run make again." >&2; exit 1; }
	@set -e; \
	if ! { $(made_by_hand); }; then \
		python=$$($(find_python)); \
		echo "Making .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear --without-pip .venv; \
		$(begin_install); \
		.venv/bin/python -m ensurepip --default-pip >/dev/null; \
	fi; \
	$(uv_requirement) >.venv/uv.txt; \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt; \
	rm -f .venv/.unfinished; \
	echo "$(CURDIR)" >$@

uv_install = .venv/bin/uv pip install --python .venv/bin/python
# Without a terminal, uv's list of two hundred packages says nothing that the lock file does not.
install = $(begin_install); $(uv_install) $$(test -t 2 || echo --quiet) $(1) && rm -f .venv/.unfinished
compile = .venv/bin/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header

.venv/.runtime: requirements.lock .venv/.made
	@echo "Installing what requirements.lock pins (several GB on a first run)"
	@$(call install,--require-hashes -r requirements.lock)
	@touch $@

.venv/.project: pyproject.toml .venv/.runtime
	@$(call install,--no-build-isolation --no-deps -e .)
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.project
	@echo "Installing what requirements-dev.lock pins"
	@$(call install,--require-hashes -r requirements-dev.lock)
	@touch $@

# --- Quarto ----------------------------------------------------------------------------------------------------------

# Ends a command and what it started after argv[1] seconds; `timeout` is not on every system.
define WITHIN
import os, signal, subprocess, sys
process = subprocess.Popen(sys.argv[2:], start_new_session=True)
try:
    sys.exit(process.wait(float(sys.argv[1])))
except subprocess.TimeoutExpired:
    sys.exit(124)
finally:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
endef
export WITHIN

# The stamp stands for a try, successful or not, so that only `make env` tries twice.
ifneq ($(filter env,$(MAKECMDGOALS)),)
.PHONY: .venv/.quarto
endif

# quarto-cli downloads Quarto while it is built; what it needs of Jupyter is in requirements.lock.
.venv/.quarto: | .venv/.project
	@[ "$(THAW_QUARTO)" = 0 ] || command -v quarto >/dev/null || { \
		echo "Installing Quarto $(QUARTO_VERSION), for at most $(QUARTO_SECONDS) seconds"; \
		echo "quarto-cli==$(QUARTO_VERSION) --hash=sha256:$(QUARTO_SHA256)" >.venv/quarto.txt; \
		if { .venv/bin/python -c "$$WITHIN" $(QUARTO_SECONDS) \
			$(uv_install) --no-deps --require-hashes -r .venv/quarto.txt \
			&& .venv/bin/quarto --version; } >.venv/quarto.log 2>&1; then \
			echo "Quarto $(QUARTO_VERSION) is installed in .venv"; \
		else \
			.venv/bin/uv pip uninstall --quiet --python .venv/bin/python quarto-cli 2>/dev/null; \
			echo "Going on without Quarto, which could not be had (.venv/quarto.log): a plainer report; make env retries."; \
		fi; \
		touch $@; \
	}
