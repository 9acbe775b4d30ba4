# Everything starts here: `make help` lists it. Nothing outside this folder is changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m

# LOCKED=1 holds pip to the exact versions that everything was tested with. They are constraints
# (-c), not a list to install (-r): lab needs less than test, and a system other than the one they
# were tested on needs other packages besides. The stamp files (below) are others, too, so that an
# environment that is there already is brought to these versions.
LOCK := $(if $(filter-out 0,$(LOCKED)),requirements.lock)
PIP := $(RUN) pip install $(addprefix -c ,$(LOCK))
LAB := $(VENV)/.lab$(if $(LOCK),-locked)
TEST := $(VENV)/.test$(if $(LOCK),-locked)

.DEFAULT_GOAL := help
.PHONY: help lab full jupyter test setup browser lint readme page bench lock clean
.DELETE_ON_ERROR:

help:  ## list what can be made (the default)
	@echo "make TARGET [PYTHON=python3.12] [LOCKED=1]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' Makefile
	@echo "PYTHON names the interpreter; LOCKED=1 installs the exact versions of requirements.lock."

lab: $(LAB)  ## set up, then run every notebook in the quick profile (results in build/quick/)
	@$(RUN) labutils notebooks --profile quick

full: $(LAB)  ## run every notebook in the full profile, in place
	@$(RUN) labutils notebooks --profile full

jupyter: $(LAB)  ## open the notebooks in JupyterLab
	@$(RUN) jupyterlab

test: $(TEST)  ## set up, then run all tests but those in a browser
	@OMP_NUM_THREADS=1 $(RUN) pytest -n auto --dist loadfile -m "not browser"

setup: $(TEST)  ## only set up: .venv with all that tests and development need

browser: $(TEST)  ## run the tests in a browser (needs Chromium)
	@$(RUN) pytest -m browser

lint: $(TEST)  ## check style, format and that the tables of README.md and docs/ are up to date
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) cogapp --check --diff README.md docs/speed.md

readme: $(TEST)  ## write the tables of README.md and docs/ anew from the stored runs
	@$(RUN) cogapp -r README.md docs/speed.md

page: $(TEST)  ## write docs/index.html anew, and the notebooks as HTML into build/page/
	@$(RUN) labutils.report.page

bench: $(LAB)  ## measure what docs/speed.md claims, as ratios
	@for name in augmentation cam epoch growth measuring memory pages pooling precision svm sweep waits windows accuracy; do $(RUN) benchmarks.$$name || exit 1; done

# After `make clean test`, so that it holds what a new environment gets, and what passed.
lock: $(TEST)  ## write requirements.lock anew: the versions that are in .venv
	@$(BIN)/python -c "import platform as p; print('# Tested on', p.system(), p.machine(), \
	  'with Python', p.python_version())" > requirements.lock
	@$(RUN) pip freeze --all --exclude pip --exclude labutils >> requirements.lock

clean:  ## remove .venv, build/quick/ and caches; data, stored and unfinished runs stay
	@rm -rf $(VENV) build/quick *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp file says what is installed; it is older than a changed list, and so pip runs again.
# pip is called as a module: its script fails where the path of this folder is long or has spaces.
$(LAB): requirements.txt $(LOCK) | $(VENV)/.made
	@echo "Installing requirements.txt into $(VENV) (the first time about 5 GB) ..."
	@rm -f $(VENV)/.lab* $(VENV)/.test*
	@$(PIP) -r requirements.txt
	@touch $@

$(TEST): requirements.txt pyproject.toml $(LOCK) | $(VENV)/.made
	@echo "Installing labutils with all that its tests need into $(VENV) (the first time about 5 GB) ..."
	@rm -f $(VENV)/.lab* $(VENV)/.test*
	@$(PIP) -e ".[test]"
	@touch $@ $(LAB)

# The interpreter is named by PYTHON even where another environment is active: .venv is used.
$(VENV)/.made:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	  echo "Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments."; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@
