# Two commands set everything up on a fresh machine:  make demo  and  make test.
# Needs Python >= 3.11 and make; on Debian and Ubuntu missing system libraries are installed (as root, or with sudo).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LIBRARIES := libgl1 libegl1 libgles2
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow lint bench install system browser clean

demo: install
	$(BIN)/biopose-live --demo --headless

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow --timeout 3600

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python bench/pipeline.py

install: $(STAMP)

WEB := clients/web/package-lock.json clients/web/build.mjs $(wildcard clients/web/src/*)

$(STAMP): pyproject.toml constraints.txt $(wildcard realtime/build_*.py) $(wildcard $(WEB)) | system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(STAMP) | browser
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	touch $@

# MediaPipe and OpenCV load these; a desktop has them, a bare server or container has not.
system:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, found $$($(PYTHON) --version 2>&1); name it: make PYTHON=python3.12 demo"; exit 1; }
	@if ! $(PYTHON) -c 'import ctypes, venv, ensurepip; [ctypes.CDLL(x) for x in ("libGL.so.1", "libEGL.so.1", "libGLESv2.so.2")]' 2>/dev/null; then \
	  if command -v apt-get >/dev/null; then \
	    root=$$(test "$$(id -u)" = 0 || echo sudo); \
	    $$root apt-get update -qq && $$root apt-get install -y -qq --no-install-recommends python3-venv $(LIBRARIES); \
	  else echo "libGL, libEGL, libGLESv2 and Python's venv module are needed: install them with your system's package manager"; exit 1; fi; fi

# The viewer's page is tested in Chromium; without it those tests are skipped.
browser:
	@if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then \
	  root=$$(test "$$(id -u)" = 0 || echo sudo); \
	  { command -v apt-get >/dev/null && $$root apt-get update -qq && \
	    $$root apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "Chromium could not be installed: the viewer's browser tests will be skipped"; fi

clean:
	rm -rf $(VENV) build dist
