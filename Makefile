# make run: set up and run the main job.   make test: set up and pass the tests.   make help: the rest.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help run test test-slow gpu-check kernels check format lock bench bench-repeat clean
help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dlbench needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

run: $(READY) ## set up and run the main job: ResNet-50's convolutions
	$(BIN)/dlbench run configs/conv.yaml

test: $(READY) ## set up and pass the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8

test-slow: $(READY) ## the tests that take minutes
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 -m slow

gpu-check: $(READY) ## the tests that need a GPU, on this machine's
	$(BIN)/python -m pytest tests/gpu -m gpu

kernels: $(READY) ## compile every CUDA kernel for every architecture: registers, shared memory, spills
	$(BIN)/python benchmarks/kernels.py

check: $(READY) ## ruff, mypy --strict and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for file in tests/*/conftest.py tests/*/*/conftest.py; do $(BIN)/mypy $$file || exit 1; done
	$(BIN)/lint-imports

format: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## the performance goals, as ratios measured side by side
	for name in harness_cost startup plan_million torch_agreement compare_large; do \
		$(BIN)/python benchmarks/$$name.py || exit 1; done

bench-repeat: $(READY) ## whether the numbers repeat and the comparisons hold, on a machine left alone for an hour
	$(BIN)/pip install --quiet --disable-pip-version-check 'google-benchmark>=1.9'
	-$(BIN)/python benchmarks/repeatability.py --keep build/repeatability
	$(BIN)/python benchmarks/estimators.py build/repeatability
	-$(BIN)/python benchmarks/false_positives.py --keep build/false_positives
	$(BIN)/python benchmarks/pairing.py build/false_positives

lock: ## pin anew what pyproject.toml asks for (torch stays as pinned)
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet "$$(grep '^torch==' requirements.lock)"
	.venv-lock/bin/pip install --quiet --editable '.[dev]'
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//; /^dlbench/d; s/^\(nvidia-cuda-[a-z]*\)==.*/\1>=13.0,<14/; '"s/^triton==.*/& ; platform_system == 'Linux' and python_version < '3.15'/" > requirements.lock
	rm -rf .venv-lock

clean: ## remove what make built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
