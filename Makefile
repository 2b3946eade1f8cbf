# Two commands: `make lab` opens the course, `make test` proves it.
# PYTHON: the interpreter to build .venv with. CPU=1: PyTorch without CUDA, for a machine without an NVIDIA card.
PYTHON ?= python3
CPU_INDEX := https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VENV_XLA := .venv-xla
READY_XLA := $(VENV_XLA)/.ready
VENV_EXPORT := .venv-export
READY_EXPORT := $(VENV_EXPORT)/.ready
# JupyterLab would ask each student whether to fetch news from the web
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings/overrides.json
NO_NEWS := {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
LESSONS := $(sort $(wildcard notebooks/*.ipynb))
# lessons whose point is a training run: executed with a short one, and only what is marked is compared
TRAINED := notebooks/09_train_contextnet.ipynb
# the tests' own cache of fonts and settings of matplotlib: a user's style, or a cache that lists fonts of an
# environment since deleted, would change the figures and print warnings into the lessons
TIDY := MPLCONFIGDIR="$(CURDIR)/$(VENV)/matplotlib"
# two processes of one thread each: threads that wait for one another would only be in each other's way
PYTEST := $(TIDY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder
NBVAL := $(TIDY) $(BIN)/python -m pytest -q -p no:cacheprovider -W ignore --nbval-sanitize-with tests/nbval.cfg
# JupyterLab refuses to start as root, which is who one is in a container
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# nbgrader's Validate says "Success" of notebooks with nothing in them, as the checkers print and do not raise;
# its other menus and tabs are for instructors
STUDENT := JUPYTER_CONFIG_PATH="$(CURDIR)/tools/jupyter/student:$$JUPYTER_CONFIG_PATH"
JUPYTER = PATH="$(abspath $(BIN)):$$PATH" jupyter lab $(ROOT) --ServerApp.root_dir=. $(LABFLAGS)

.PHONY: lab instruct handout site test test-slow test-class test-xla test-export unit integration lessons lint \
	notebooks exercises grade bench bench-gpu fuzz lock clean

lab: $(READY)
	$(STUDENT) $(JUPYTER) --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

# For instructors: with nbgrader's menu, its formgrader and what marks a cell as task or test.
instruct: $(READY)
	$(JUPYTER) --LabApp.default_url=/lab/tree/solutions

test: $(READY) lint
	$(PYTEST) tests -m "not slow"
	$(MAKE) lessons

unit: $(READY)
	$(PYTEST) tests -m "not browser and not processes and not slow"

# What `unit` leaves out of `test`, but for the lessons: whole commands, and JupyterLab in a browser.
integration: $(READY)
	$(PYTEST) tests -m "(browser or processes) and not slow"

# Execute every lesson and compare what it gives with what it stores.
lessons: $(READY)
	$(NBVAL) --nbval $(filter-out $(TRAINED),$(LESSONS))
	LESSON_STEPS=30 $(NBVAL) --nbval-lax $(filter $(TRAINED),$(LESSONS))

# What takes too long for every change: the official solutions graded with ten other seeds, Triton's interpreter.
test-slow: $(READY)
	$(PYTEST) tests -m slow

# A class of 200, honest and hostile, graded in one run; says time and memory.
test-class: $(READY)
	CLASS_SIZE=200 $(BIN)/python -m pytest -q -s -m slow tests/grading/test_class.py

# Many more damaged manifests, configurations, tokenizers and language models than `test` tries: make fuzz [FUZZ=20000]
export FUZZ ?= 5000
fuzz: $(READY)
	FUZZ_EXAMPLES="$$FUZZ" $(BIN)/python -m pytest -q tests/inputs/test_fuzz.py

# The TPU's path, on the CPU: torch_xla wants a torch of its own, hence an environment of its own.
test-xla: $(READY_XLA)
	PJRT_DEVICE=CPU $(VENV_XLA)/bin/python -m pytest -q tests/xla

# Exported models, TFLite's too: its converter brings JAX and transformers, hence an environment of its own.
test-export: $(READY_EXPORT)
	EXPORT_ALL=1 $(VENV_EXPORT)/bin/python -m pytest -q -rP -p no:anyio tests/export

# Style, form, the layers of packages, the types of the public names, and the lock.
lint: $(READY)
	$(BIN)/ruff check asrlib tests tools data setup.py
	$(BIN)/ruff format --check asrlib tests tools data setup.py
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python tools/lock.py --check

# Pin the packages again, with hashes, after a change of pyproject.toml: make lock [LOCKFLAGS=--upgrade]
lock: $(READY)
	$(BIN)/python -m pip install -q uv
	$(BIN)/python tools/lock.py $(LOCKFLAGS)

# Execute every lesson again, in order, and say how long each took.
notebooks: $(READY)
	$(TIDY) $(BIN)/python tools/run_notebooks.py $(LESSONS)

# The student versions of solutions/, through nbgrader.
exercises: $(READY)
	$(BIN)/python tools/make_exercises.py

# What students get, lessons and exercises without solutions: make handout [HANDOUT=folder or file.zip]
export HANDOUT ?= handout.zip
handout: $(READY)
	$(BIN)/python tools/handout.py -- "$$HANDOUT"

# Points and feedback for a folder of notebooks: make grade SUBMITTED=folder [GRADED=folder]
# (by the shell's variables, for a folder may have spaces, parentheses and quotes in its name)
export GRADED ?= graded
export SUBMITTED
grade: $(READY)
	$(BIN)/python tools/grade.py --out="$$GRADED" -- "$${SUBMITTED:?make grade SUBMITTED=folder}"

# The course as a website, in build/site: read it with `python -m http.server -d build/site`, or from the files.
site: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tools/make_site.py

bench: $(READY)
	$(BIN)/asrlib bench losses

# On a machine with an NVIDIA GPU: is everything right there, and how fast? Writes docs/gpu-run.md.
bench-gpu: $(READY)
	$(BIN)/python tools/bench_gpu.py

# Installed again only when what is to be installed changed.
$(READY): pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(if $(CPU),$(BIN)/python -m pip install -q -c constraints.txt torch torchaudio --index-url $(CPU_INDEX))
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[lab,test,site]"
	mkdir -p $(dir $(LAB_SETTINGS)) && echo '$(NO_NEWS)' > $(LAB_SETTINGS)
	touch $(READY)

$(READY_XLA): pyproject.toml setup.py constraints-xla.txt
	test -x $(VENV_XLA)/bin/python || $(PYTHON) -m venv $(VENV_XLA)
	$(VENV_XLA)/bin/python -m pip install -q --upgrade pip
	$(VENV_XLA)/bin/python -m pip install -q -c constraints-xla.txt torch-xla pytest beartype nbclient ipykernel \
		torchaudio matplotlib -e ".[synth,train]"
	touch $(READY_XLA)

$(READY_EXPORT): pyproject.toml setup.py constraints-export.txt
	test -x $(VENV_EXPORT)/bin/python || $(PYTHON) -m venv $(VENV_EXPORT)
	$(VENV_EXPORT)/bin/python -m pip install -q --upgrade pip
	$(VENV_EXPORT)/bin/python -m pip install -q -c constraints-export.txt -e ".[test,tflite]"
	touch $(READY_EXPORT)

clean:
	rm -rf $(VENV) $(VENV_XLA) $(VENV_EXPORT) build *.egg-info
