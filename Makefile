# Every target makes the virtual environment .venv when it is missing and brings it up to date when the packages that it
# needs have changed. PYTHON is the interpreter that makes it: `make demo PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEADLINE_S ?= 60
# Tests that run at the same time. Some wait for processes, so twice as many as there are cores keep them busy.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
PYTEST := $(BIN)/python -m pytest -q --numprocesses=$(WORKERS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help demo compare notebooks report chaos checkpoints cluster-demo test-cluster gpu-check docs dist stranger test test-slow test-pythons lint format check clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.installed-demo  ## tune a neural network on this machine for one minute and show what happened
	$(BIN)/python examples/launch_hypersched_digits.py --deadline $(DEADLINE_S) --output demo-results

compare: $(VENV)/.installed-benchmarks  ## compare schedulers in virtual time, on learning curves of the package
	$(BIN)/python benchmarking/launch_hpo.py --output comparison-results

notebooks: $(VENV)/.installed-dev  ## run the notebooks in full and store their outputs
	$(BIN)/python notebooks/execute.py

report: $(VENV)/.installed-benchmarks  ## run the report on tables of real learning curves again (half an hour)
	$(BIN)/python benchmarking/studies/report_tables.py

chaos: $(VENV)/.installed-dev  ## kill trials, servers and tuners at random moments, and check that nothing is lost (a quarter of an hour)
	$(BIN)/python benchmarking/faults/chaos.py
	$(BIN)/python benchmarking/faults/tuner_kills.py
	$(BIN)/python benchmarking/faults/fuzz_reports.py
	$(BIN)/python benchmarking/faults/soak.py

checkpoints: $(VENV)/.installed-dev  ## save and report in all ways, kill at random, and check that best/ is the best model and complete (half an hour)
	$(BIN)/python benchmarking/faults/best_checkpoint.py

cluster-demo: $(VENV)/.installed-dev  ## tune on two Ray nodes of this machine; one is killed in the middle (two minutes)
	$(BIN)/python examples/launch_cluster_demo.py --deadline $(DEADLINE_S) --output cluster-demo-results

test-cluster: $(VENV)/.installed-dev  ## disturb a tuning on a cluster of network namespaces (three minutes, needs root)
	$(BIN)/python benchmarking/faults/cluster_chaos.py --seconds 150

gpu-check: $(VENV)/.installed-dev  ## run the checks that need a GPU, and print one table (ten minutes, one GPU)
	$(BIN)/python benchmarking/speed/gpu_check.py

docs: $(VENV)/.installed-docs  ## build the site of the documents into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

dist: $(VENV)/.installed-release  ## build wheel and sdist into dist, and check them as PyPI does
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

stranger: $(VENV)/.installed-release  ## install the wheel into an empty folder, follow docs/start.md, and measure the time
	$(BIN)/python benchmarking/speed/strangers_path.py

# The tests start hundreds of interpreters, which are to find the modules compiled.
test test-slow test-pythons: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.installed-dev  ## run the tests (some minutes on two cores)
	$(PYTEST)

test-slow: $(VENV)/.installed-dev  ## run the slow tests, and all examples of the property tests
	SYNE_HYPERSCHED_THOROUGH=1 $(PYTEST) -m "slow or hypothesis"

test-pythons: $(VENV)/.installed-dev  ## run the core of the tests on Python 3.10, 3.12 and 3.13, and with the lowest versions
	$(BIN)/python .ci/test_pythons.py --workers $(WORKERS)

lint: $(VENV)/.installed-dev  ## check style, types and links
	$(BIN)/python .ci/check_links.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test  ## everything that must hold before a commit is pushed

clean:  ## remove the virtual environment and all files of the tools
	rm -rf $(VENV) build dist demo-results cluster-demo-results comparison-results report-work .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' \
	    || { echo "make: Python 3.10 to 3.13 is needed, $(PYTHON) is another version; try: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The same file for each set of extras: pip's work is done when the file is newer than what it installs from.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), which takes about a minute"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@
