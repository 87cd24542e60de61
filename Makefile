# Each target does all its own set-up: on a fresh machine with Python 3.11 and pip, `make demo` is enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test slow arviz1 lint clean

demo: $(VENV)/.installed
	$(BIN)/mutoscope fit sta --out runs/demo --overwrite

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2

slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

arviz1: $(VENV)/.installed-dev $(VENV)-arviz1/.installed
	MUTOSCOPE_ARVIZ1_PYTHON=$(VENV)-arviz1/bin/python $(BIN)/pytest tests/inference/test_arviz.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	mkdir -p .types && ln -sfn .. .types/mutoscope  # so that the folder of the checkout may have any name
	MYPYPATH=.types $(BIN)/mypy -p mutoscope

clean:
	rm -rf $(VENV) $(VENV)-arviz1 build

# ArviZ 1.x needs Python 3.12; on 3.11 its side of the adapter is tested without torch.
$(VENV)-arviz1/.installed:
	python3.12 -m venv $(VENV)-arviz1
	$(VENV)-arviz1/bin/pip install --quiet "arviz>=1,<2" h5netcdf h5py matplotlib "zarr>=3"
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt --group test --group lint
	touch $@
