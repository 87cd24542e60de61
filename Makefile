# Each target does all its own set-up: on a fresh machine with Python 3.11 and pip, `make demo` is enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test slow lint clean

demo: $(VENV)/.installed
	$(BIN)/mutoscope fit sta --out runs/demo --overwrite

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2

slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	mkdir -p .types && ln -sfn .. .types/mutoscope  # so that the folder of the checkout may have any name
	MYPYPATH=.types $(BIN)/mypy -p mutoscope

clean:
	rm -rf $(VENV) build

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt --group test --group lint
	touch $@
