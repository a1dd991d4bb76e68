# Everything runs from a fresh Debian 12 as root: each target sets up what it needs.
PYTHON  := /usr/bin/python3
VENV    := .venv
BIN     := $(VENV)/bin
PACKAGES := python3-bpfcc python3-venv iproute2 nftables tcpdump iputils-ping traceroute bpftool gcc libc6-dev procps strace linux-perf libnghttp2-14 \
    gobgpd frr bird2 containerd runc podman containernetworking-plugins busybox-static golang-go golang-github-appc-cni-dev \
    qemu-system-x86 kmod memcached curl haproxy nghttp2-client nghttp2-proxy nghttp2-server nginx wrk

.PHONY: all setup check test test-kernels fuzz demo bench docs clean

all: check test

setup: $(VENV)/.ready ## system packages and the virtual environment
	@# As pip does for what it installs: otherwise each start of an agent or of netctl may compile all modules anew.
	@$(BIN)/python -m compileall -q core plugins

$(VENV)/.ready: setup.cfg pyproject.toml tools/setup.sh Makefile
	PACKAGES="$(PACKAGES)" PYTHON=$(PYTHON) VENV=$(VENV) sh tools/setup.sh
	touch $@

check: setup ## format, lint, types, layers, generated files: seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests bench examples tools
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m netloom.datapath.codegen --check
	$(BIN)/python -m netloom.cli.reference --check
	$(BIN)/python -m netloom.config.reference --check
	$(BIN)/python -m netloom.plugins.reference --check

test: setup ## the whole suite, as root: unit, contract, eBPF, kernel, end to end
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-kernels: setup ## Debian's 6.1 and 6.12, emulated: every program and a lab, in about twelve minutes
	$(BIN)/python -m tools.vm.suite

SECONDS := 60
fuzz: setup ## parsers under coverage-guided fuzzing, so many SECONDS each
	$(BIN)/python -m tools.fuzz $(SECONDS)

demo: setup ## two nodes, four pods, one overlay, and a service with rules: every step shown
	$(BIN)/netctl lab demo

bench: setup ## compare with raw veth, CNI reference plugins, flannel, HAProxy and Envoy; writes bench/RESULTS.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	$(BIN)/python -m bench

docs: setup ## render generated files again
	$(BIN)/python -m netloom.datapath.codegen
	$(BIN)/python -m netloom.cli.reference
	$(BIN)/python -m netloom.config.reference
	$(BIN)/python -m netloom.plugins.reference

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
