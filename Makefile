# `make run` is all a fresh machine needs: Python 3.11, 3.12 or 3.13.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Interpreters that pyenv keeps are found even where none of them is the chosen one.
PYENV := $(wildcard $(HOME)/.pyenv/versions/3.1[123]*/bin/python)

# The first of these that is 3.11 to 3.13 and can make virtual environments is taken. 3.11 comes
# first: it is what the embedded default was tried with most.
CANDIDATES := python3.11 $(wildcard $(HOME)/.pyenv/versions/3.11*/bin/python) \
    python3.12 python3.13 python3 $(PYENV)
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

BIN := .venv/bin
TOXENV_OF := import sys; print("py%d%d" % sys.version_info[:2])

.PHONY: help run test lint bench slow system clean

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

run: .venv/installed ## Hold the demo lesson: out/lesson.mp4, its event log and its latencies
	$(BIN)/maestra demo

test: .venv/tox ## Run everything that continuous integration runs
	$(BIN)/tox run --skip-missing-interpreters true \
	    $(if $(PYENV),--discover $(PYENV)) \
	    -e lint,imports,types,docs,$$($(BIN)/python -c '$(TOXENV_OF)'),core312,core313

lint: .venv/tox ## Check style, types and layers only
	$(BIN)/tox run -e lint,imports,types

bench: .venv/bench ## Measure latencies, frame rate and the rest from the outside (BENCH=--quick)
	$(BIN)/python -m maestra.app.experiments.bench $(BENCH)

slow: .venv/tox ## Run the slow tests too; a quiet machine and an hour or two (`make system` first)
	$(BIN)/tox run -e slow

system: ## Install what slow tests run against: nginx, ffmpeg, Chromium and more (Debian, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    nginx libnginx-mod-rtmp libnginx-mod-stream openssl ffmpeg chromium prometheus \
	    gir1.2-gst-rtsp-server-1.0 python3-gi \
	    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
	@for one in nginx prometheus; do service $$one stop >/dev/null 2>&1 || true; done

clean: ## Forget every environment and every output
	rm -rf .venv .tox out

.venv/made:
	@test ! -x $(BIN)/python || { touch $@; exit 0; }; \
	for python in $(CANDIDATES); do \
	    if "$$python" -c '$(FITS)' >/dev/null 2>&1; then \
	        echo "making .venv with $$("$$python" --version)"; \
	        "$$python" -m venv .venv && touch $@; exit; \
	    fi; \
	done; \
	echo "Maestra needs Python 3.11, 3.12 or 3.13 with its venv module; none was found." >&2; \
	exit 1

.venv/installed: .venv/made pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local]'
	@touch $@

.venv/bench: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,bench]'
	@touch $@

.venv/tox: .venv/made
	$(BIN)/pip install --quiet --disable-pip-version-check 'tox>=4.25'
	@touch $@
