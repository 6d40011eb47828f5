# make demo               a built-in model makes a picture; which one was it?      make test    the whole test suite
# make demo DATA=folder   identify held-out images of a dataset                    make lint    ruff and pyright
# make bench DATA=folder  the README's figures (visor, sdnext, photos)   make clean   remove the environment and what was made
#
# All of them make their own environment in .venv first. PYTHON names the interpreter to make it from (3.11 or newer);
# TORCH=cuda or TORCH_INDEX=URL choose another build of torch (see tools/setup.py). Tests run on all cores; JOBS=1 takes one.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
OUT := out
JOBS ?= auto
# Those whose figures stand in the README; each takes the folder of the data sets and nothing else.
BENCHES := attribution regeneration speed
ZOO := src/morelli/generators/zoo/weights/manifest.json

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

setup:
	@$(PYTHON) tools/setup.py --venv $(VENV) --target setup

demo:
ifndef DATA
	@test -f "$(ZOO)" || { \
		echo "The weights of the built-in models are not here: there is no $(ZOO)." >&2; \
		echo "Train them (training/zoo/README.md says how), or take images that you have: make demo DATA=folder" >&2; \
		echo "(sub-folders named after the models, or a metadata.csv with file_name and model; see README.md)" >&2; \
		exit 1; }
	@$(PYTHON) tools/setup.py --venv $(VENV) --target demo --extra generators
	@$(RUN)/python tools/demo_zoo.py --out $(OUT)/demo
else
	@$(PYTHON) tools/setup.py --venv $(VENV) --target "demo DATA=$(DATA)"
	@$(RUN)/python tools/demo.py "$(DATA)" --out $(OUT)/demo
endif

test:
	@$(PYTHON) tools/setup.py --venv $(VENV) --target test --extra dev
	$(RUN)/python -m pytest -q -n $(JOBS) --dist loadfile --max-worker-restart 0 --durations=40

lint:
	@$(PYTHON) tools/setup.py --venv $(VENV) --target lint --extra dev
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/pyright --pythonpath $(RUN)/python

bench:
ifndef DATA
	@echo "A folder with datasets is needed: make bench DATA=folder" >&2
	@exit 2
else
	@$(PYTHON) tools/setup.py --venv $(VENV) --target "bench DATA=$(DATA)" --extra dev
	@set -e; for name in $(BENCHES); do \
		echo "== $$name"; $(RUN)/python "benchmarks/$$name.py" "$(DATA)"; done
endif

clean:
	rm -rf $(VENV) $(OUT) build dist .pytest_cache .ruff_cache .hypothesis
