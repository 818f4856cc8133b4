# `make demo` and `make test` need nothing but Python 3.11 or newer with venv, and this checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo setup test lint types unit wheel clean

demo: $(VENV)/base.stamp
	$(BIN)/twohands demo --out out/demo

setup: $(VENV)/dev.stamp

test: lint types unit wheel

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/pyright

# One process a core, each on one thread; an idle one takes over tests of the other, and a test that hangs ends its own.
unit: export OMP_NUM_THREADS := 1
unit: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" \
		-o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true

# The built wheel with its base dependencies alone must run the demo.
wheel: $(VENV)/dev.stamp
	rm -rf build dist
	$(BIN)/python -m build --wheel --outdir dist . >/dev/null
	$(PYTHON) -m venv --clear build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd build && wheel-venv/bin/twohands demo --out demo

clean:
	rm -rf build dist out .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/base.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/base.stamp
