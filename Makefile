# Two commands: `make lab` opens the course, `make test` proves it.
# PYTHON: the interpreter to build .venv with. CPU=1: take PyTorch without CUDA, where pip is set up for it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LESSONS := $(sort $(wildcard notebooks/*.ipynb))
# JupyterLab refuses to start as root, which is who one is in a container
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test unit lint notebooks bench clean

lab: $(READY)
	$(BIN)/jupyter lab $(ROOT) notebooks/00_start_here.ipynb $(LABFLAGS)

test: $(READY) lint
	$(BIN)/python -m pytest -q

unit: $(READY)
	$(BIN)/python -m pytest -q -m "not slow and not browser and not notebook"

lint: $(READY)
	$(BIN)/ruff check asrlib tests tools

# Execute every lesson again, in order, and say how long each took.
notebooks: $(READY)
	$(BIN)/python tools/run_notebooks.py $(LESSONS)

bench: $(READY)
	$(BIN)/asrlib bench losses

# Installed again only when what is to be installed changed.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[lab,test]"
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info
