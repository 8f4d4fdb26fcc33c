# Needs a POSIX shell, Python 3.11 or newer and a network to install from; nothing else on the machine.
# make demo PYTHON=/path/to/python3.12 VENV=/tmp/diffmusic    chooses the interpreter and the environment.
# make test-oldest BOUNDS=torch==2.13.0    takes another version than the bound, of what has no wheel here.

VENV   ?= .venv
OLDEST ?= .venv-oldest
BOUNDS ?=
TESTS  ?= tests
PYTHON ?=

CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# One thread each: tests are many small things, and processes share the cores better than threads do.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test mutants test-oldest programs lint format docs clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1|\2/p' Makefile | awk -F '|' '{ printf "make %-12s%s\n", $$1, $$2 }'

demo: $(VENV)/.installed  ## restore lost music: hear demo/restored.flac and demo/repeat.flac, see the pictures beside them
	@mkdir -p demo
	$(BIN)/diffmusic solve inpainting examples/clip.flac --gap 4.0:5.0 --solver diffmusic --simulate --plot demo/restored.png -o demo/restored.flac
	$(BIN)/diffmusic solve inpainting examples/song.flac --gap 12.0:14.0 --simulate --plot demo/repeat.png -o demo/repeat.flac

test: lint programs  ## lint, then run every test, in as many processes as there are cores, four at most
	$(PYTEST)

test-oldest: programs $(OLDEST)/.installed  ## run the tests with the oldest dependencies allowed, in $(OLDEST)
	$(subst $(BIN),$(OLDEST)/bin,$(PYTEST)) $(TESTS)

$(OLDEST)/.installed: pyproject.toml .ci/oldest.py $(VENV)/pyvenv.cfg
	$(BIN)/python -m venv $(OLDEST)
	$(BIN)/python .ci/oldest.py $(BOUNDS) > $(OLDEST)/oldest.txt
	$(OLDEST)/bin/python -m pip --quiet --disable-pip-version-check install -c $(OLDEST)/oldest.txt -e '.[app,finetune]' \
	    build hatchling museval pytest pytest-xdist
	@touch $@

programs:
	@missing=; for program in chromium ffmpeg; do \
	    command -v $$program >/dev/null || missing="$$missing $$program"; \
	done; \
	test "$$missing" || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing$$missing, for the tests"; \
	    { apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "Tests that need$$missing will be skipped. On Debian: apt-get install$$missing"

lint: $(VENV)/.installed-dev  ## check style and types (ruff, mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutants: $(VENV)/.installed-dev  ## make mistakes in the core, one by one, and see that a test notices each
	$(BIN)/python -m tests.mutation

format: $(VENV)/.installed-dev  ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev  ## build the documentation: build/site/index.html
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --quiet

clean:  ## remove demo/, build results and caches; keeps the environment
	rm -rf demo build dist .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -prune -exec rm -rf {} +

# Stamps inside the environment: nothing is installed twice unless what it depends on has changed.

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/pyvenv.cfg
	@echo "Installing diffmusic into $(VENV) (the first time takes minutes: torch is large)"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt $(VENV)/pyvenv.cfg
	@echo "Installing diffmusic and its development tools into $(VENV) (the first time takes minutes: torch is large)"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@

$(VENV)/pyvenv.cfg:
	@bare=; for python in $(CANDIDATES); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null || { bare=$${bare:-$$python}; continue; }; \
	    echo "Creating $(VENV) with $$("$$python" --version) ($$python)"; \
	    exec "$$python" -m venv $(VENV); \
	done; \
	if [ "$$bare" ]; then \
	    echo "$$bare cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; \
	else \
	    echo "No Python 3.11 or newer among: $(CANDIDATES). Install one, or say make PYTHON=/path/to/python3"; \
	fi >&2; exit 1
