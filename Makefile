# Every target first brings .venv up to date with the lock files, which takes no time where it is.
# Written for GNU Make 3.81 and a POSIX shell, so that it runs on macOS as it stands.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

# A run starts Python hundreds of times, and without bytecode each start compiles all of torch again.
unexport PYTHONDONTWRITEBYTECODE

# Recipes, and the programs that they start, find `dvc`, `thaw` and `quarto` of the environment first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

environment := sh scripts/environment.sh
compile := .venv/bin/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --group build

.PHONY: help report quick reproduce test bench docs env hooks lock runtime clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "make PYTHON=/path/to/python3 TARGET   builds .venv with that Python (3.11 or newer)"
	@echo "THAW_QUARTO=0 make TARGET             never tries to install Quarto"

report: ## Bring the report up to date with params.yaml, training only what changed
	@$(environment) quarto
	@.venv/bin/thaw report

quick: ## Train and report everything at the quick profile, in a scratch copy
	@$(environment) quarto
	@.venv/bin/thaw quick

reproduce: ## Retrain everything and compare each metric with the committed one
	@$(environment) quarto
	@.venv/bin/thaw reproduce

test: ## Run the linters, the type checker and the tests
	@$(environment) quarto dev
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: ## Measure what makes training fast against its plain forms, and what an evaluation costs
	@$(environment) dev
	@.venv/bin/python benchmarks/throughput.py
	@.venv/bin/python benchmarks/evaluation.py

docs: ## Write the API pages from the docstrings to docs/api
	@$(environment) dev
	@.venv/bin/pdoc --output-directory docs/api thaw
	@echo "The API pages start at docs/api/index.html"

env: ## Build .venv from the lock file, and try again to install Quarto where there is none
	@rm -f .venv/.quarto
	@$(environment) quarto
	@echo "The environment is ready: . .venv/bin/activate"

hooks: ## Install the git hooks of .pre-commit-config.yaml, and the merge driver of dvc.lock
	@$(environment) dev
	@.venv/bin/pre-commit install
	@git config merge.dvc-lock.name "dvc.lock, stage by stage"
	@git config merge.dvc-lock.driver ".venv/bin/thaw merge-lock %O %A %B"

lock: ## Bring both lock files up to date with pyproject.toml
	@$(environment) uv
	@$(compile) -o requirements.lock
	@$(compile) --group dev -c requirements.lock -o requirements-dev.lock
	@echo "The pinned versions are in requirements.lock and requirements-dev.lock"

runtime: ## Fetch the runtime of the page on which readers try models, with npm, and check it
	@$(environment) uv
	@.venv/bin/uv run --quiet --no-project --with zopfli==0.4.3 python scripts/runtime.py

clean: ## Remove caches and API pages; results, models and .venv stay
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .quarto report/.quarto report/.jupyter_cache docs/api
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
