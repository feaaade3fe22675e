# `make tth` and `make test` set everything up by themselves; the second time nothing is installed again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: tth test test-slow docs coverage lint nightly clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("hepda needs Python 3.11 or newer; set PYTHON=python3.11 or the like" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,generate,lightgbm,scan,reweight,hdf5,https,xrootd,speech,quality,cluster,onnx,cabinetry,hepdata,correctionlib,docs,tensorboard,notebooks]'
	touch $@

tth: $(VENV)/.installed
	$(BIN)/hepda train --config tth.yaml

# Two processes of one thread each: threads of several processes on the same cores wait for each other.
# `make test` takes less than ten minutes on two cores; the slow tests, whole runs and other programs, as long again.
PYTEST = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

test: $(VENV)/.installed
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.installed
	$(PYTEST) -m slow

# Pages of docs/, the reference of keys, commands and functions: build/docs/index.html. Broken links are errors; no network.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo build/docs/index.html

# Fails below 92 % of the lines of hepda. For a part: make coverage TESTS=tests/evaluation SOURCE=hepda/evaluation LEAST=0
TESTS := tests
SOURCE := hepda
LEAST := 92
lines = $$(find $(1) -name '*.py' | xargs cat | wc -l)

coverage: $(VENV)/.installed
	@echo "lines of tests : lines of source = $(call lines,$(TESTS)) : $(call lines,$(SOURCE))" \
		| awk '{ printf "%s = %.2f\n", $$0, $$9 / $$11 }'
	$(PYTEST) $(TESTS) \
		--cov=$(SOURCE) --cov-report=term --cov-fail-under=$(LEAST)

lint: $(VENV)/.installed
	$(BIN)/ruff check hepda tests benchmarks analyses docs
	$(BIN)/ruff format --check --quiet hepda tests benchmarks analyses docs
	$(BIN)/mypy
	$(BIN)/lint-imports

# What CI has no time for: coverage of the whole, the lowest versions of all dependencies (needs uv).
nightly: lint coverage
	.ci/lowest

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage* build *.egg-info
