# Two commands: `make lab` opens the course, `make test` tests it. Each sets up .venv when it has to.
# `make book` renders the chapters as a website and as slides.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BOOK   := $(VENV)/.book
NB     ?=

# Small matrices: more threads than one cost more than they give.
export OPENBLAS_NUM_THREADS ?= 1

# Without a screen JupyterLab prints the address; as root (a container) it asks for --allow-root.
SCREEN    := $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname))
LAB_FLAGS := $(if $(SCREEN),,--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test test-more test-browser run book notebooks reference bench lock clean

lab: $(READY)
	$(BIN)/jupyter lab --ip=127.0.0.1 $(LAB_FLAGS) --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not more and not browser"
	runs=$$(mktemp -d) && CAPKIT_RUNS=$$runs PYTHONPATH=tests/netblock $(BIN)/python -m pytest \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout=120 notebooks/*.ipynb && rm -r $$runs

test-more: $(READY)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[solvers,schemas,grading]"
	$(BIN)/python -m pytest -m more

run: $(READY)
	$(BIN)/python -m capkit run

# The book and JupyterLab in a real browser: needs Chromium (Debian: apt-get install chromium fonts-noto-cjk).
test-browser: $(READY) $(BOOK)
	$(BIN)/python -m pytest -m browser

# The book, with its slides: open build/book/html/index.html; no network is needed to read it.
book: $(BOOK)
	$(BIN)/python book/build.py

# Execute notebooks in place and write their outputs: make notebooks NB=06 (all of them without NB).
notebooks: $(READY)
	$(BIN)/python -m capkit notebooks write $(NB)

# Take the reference products in data/reference again: make reference NB=06.
reference: $(READY)
	$(BIN)/python -m capkit notebooks reference $(NB)

bench: $(READY)
	for figures in workload training queueing forecasting tco planning autoscaling loadtest serving soak runs course; do $(BIN)/python benchmarks/$$figures.py || exit 1; done

# Pin every version anew for all supported Pythons (needs uv).
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate \
	    --extra notebooks --extra tensorflow --extra sweep --extra test -q pyproject.toml -o requirements.lock

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "capkit needs Python 3.11 to 3.13; this is %d.%d. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $(READY)

$(BOOK): $(READY)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[book]"
	@touch $(BOOK)

clean:
	rm -rf $(VENV) runs build *.egg-info
