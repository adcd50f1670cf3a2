# `make quickstart` generates the example dataset, `make test` runs the test suite, `make mini` trains
# the embedded weights anew (eleven hours of a CPU core), `make docs` builds the documentation's site.
# Each makes .venv first. PYTHON picks the interpreter, TORCH_INDEX a PyTorch index:
#   make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# LibreFace's own package, for the check libreface-package (docs/checks.md).
LIBREFACE_PYTHON ?= $(PYTHON)
LIBREFACE_VENV ?= .venv-libreface

.PHONY: quickstart mini test lint docs install install-dev libreface-env

quickstart: install
	$(BIN)/synthgen generate examples/quickstart.yaml

mini: install
	PATH="$(abspath $(BIN)):$$PATH" examples/train/all.sh

test: install-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: install-dev
	$(BIN)/python -m docs.site

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(INDEX) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt tests/oracle-requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(INDEX) -c constraints.txt -e ".[alignment,dev,judges]"
	$(PIP) install --quiet --no-deps --target $(VENV)/oracle -r tests/oracle-requirements.txt
	touch $@ $(VENV)/.installed

libreface-env: $(LIBREFACE_VENV)/.installed

# Without its dependencies: dlib, which is built from source for minutes, is imported by nothing used here.
$(LIBREFACE_VENV)/.installed: examples/libreface/requirements.txt
	$(LIBREFACE_PYTHON) -m venv $(LIBREFACE_VENV)
	$(LIBREFACE_VENV)/bin/python -m pip install --disable-pip-version-check --quiet -r $<
	$(LIBREFACE_VENV)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps libreface==0.2.0
	touch $@
