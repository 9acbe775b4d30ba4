# Everything starts here: `make help` lists it. Nothing outside this folder is changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m

.DEFAULT_GOAL := help
.PHONY: help lab full jupyter test setup browser lint readme bench clean
.DELETE_ON_ERROR:

help:  ## list what can be made (the default)
	@echo "make TARGET [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' Makefile

lab: $(VENV)/.lab  ## set up, then run every notebook in the quick profile (results in build/quick/)
	@$(RUN) labutils.report.notebooks --profile quick

full: $(VENV)/.lab  ## run every notebook in the full profile, in place
	@$(RUN) labutils.report.notebooks --profile full

jupyter: $(VENV)/.lab  ## open the notebooks in JupyterLab
	@$(RUN) jupyterlab

test: $(VENV)/.test  ## set up, then run all tests but those in a browser
	@$(RUN) pytest -m "not browser"

setup: $(VENV)/.test  ## only set up: .venv with all that tests and development need

browser: $(VENV)/.test  ## run the tests in a browser (needs Chromium)
	@$(RUN) pytest -m browser

lint: $(VENV)/.test  ## check style, format and that the tables of README.md are up to date
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) cogapp --check --diff README.md

readme: $(VENV)/.test  ## write the tables of README.md anew from the stored runs
	@$(RUN) cogapp -r README.md

bench: $(VENV)/.lab  ## measure the speed claims of README.md, as ratios
	@for name in augmentation pooling precision sweep windows; do $(RUN) benchmarks.$$name || exit 1; done

clean:  ## remove .venv, build/quick/ and caches; data, stored and unfinished runs stay
	@rm -rf $(VENV) build/quick *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp file says what is installed; it is older than a changed list, and so pip runs again.
# pip is called as a module: its script fails where the path of this folder is long or has spaces.
$(VENV)/.lab: requirements.txt | $(VENV)/.made
	@echo "Installing requirements.txt into $(VENV) (the first time about 5 GB) ..."
	@$(RUN) pip install -r requirements.txt
	@touch $@

$(VENV)/.test: requirements.txt pyproject.toml | $(VENV)/.made
	@echo "Installing labutils with all that its tests need into $(VENV) (the first time about 5 GB) ..."
	@$(RUN) pip install -e ".[test]"
	@touch $@ $(VENV)/.lab

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
