# Two commands for everybody: `make bench` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BUILD := pyproject.toml constraints.txt setup.py $(wildcard src/torchliquid/kernels/c/*)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: bench cores bench-edge bench-irregular bench-variance bench-kernels bench-growth calibrate verdicts playground wheels release test test-slow sanitize test-oldest test-oldest-bench test-hosts check lint types architecture docs tests browser clean

bench: $(VENV)/.bench  ## train the article's models, write results/article/report.html
	$(BIN)/torchliquid bench article

bench-kernels: $(VENV)/.bench  ## the native kernels against nn.LSTM: a table, benchmarks/kernels.json
	env -u PYTHONDONTWRITEBYTECODE -u OPENBLAS_CORETYPE $(BIN)/python benchmarks/kernels.py

bench-growth: $(VENV)/.bench  ## how their cost grows with every size: docs/_static/growth.svg
	env -u PYTHONDONTWRITEBYTECODE -u OPENBLAS_CORETYPE $(BIN)/python benchmarks/growth.py

bench-edge: $(VENV)/.bench  ## exported models on emulated cores: a table, benchmarks/edge.json
	$(BIN)/python benchmarks/edge.py $(if $(RTNEURAL),--rtneural $(RTNEURAL)) $(if $(TINYMIND),--tinymind $(TINYMIND))

bench-variance: $(VENV)/.bench  ## where the spread of a test error comes from: benchmarks/variance.json
	$(BIN)/python benchmarks/variance.py

bench-irregular: $(VENV)/.bench  ## what a time for each sample is worth, DATA=folder: benchmarks/irregular.json
	$(BIN)/python benchmarks/irregular.py $(DATA)

calibrate: $(VENV)/.bench  ## the signal nearest to the article's numbers: benchmarks/calibration.json
	$(BIN)/python benchmarks/calibrate.py

verdicts: $(VENV)/.bench  ## how the verdict moves with noise and learning rate: docs/_static/verdicts.svg
	$(BIN)/python benchmarks/verdicts.py

playground: $(VENV)/.bench  ## the docs' page in which networks run, and README's moving picture
	$(BIN)/python tools/playground.py

wheels: $(VENV)/.bench  ## a wheel for every platform, and the sources: dist/
	$(PIP) '.[release]'
	$(BIN)/python tools/wheels.py

release: $(VENV)/.bench  ## the checklist of a release, on what is built: dist/
	$(PIP) '.[release]'
	$(BIN)/python tools/release.py

test: $(VENV)/.dev browser cores check  ## lint, types, architecture, documentation, tests

check: lint types architecture docs tests

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

architecture: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

tests: $(VENV)/.dev
	$(BIN)/pytest -n auto --dist loadfile --durations 10

test-slow: $(VENV)/.dev  ## proofs that take minutes
	$(BIN)/pytest -m slow -s

sanitize: $(VENV)/.dev  ## the C kernels, with their own checks, under sanitizers
	rm -rf build/sanitized  # modules that have moved since would stay, and be imported
	TORCHLIQUID_NATIVE=require TORCHLIQUID_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -O1 -DTL_CHECKS" \
		$(BIN)/python setup.py -q build --build-base build/sanitized --build-lib build/sanitized/lib
	LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so) $$($${CC:-gcc} -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=build/sanitized/lib \
		$(BIN)/pytest -p no:cacheprovider tests/kernels/test_dispatch.py tests/kernels/test_synaptic.py tests/kernels/test_fuzz.py tests/kernels/test_readable.py tests/kernels/test_layers.py tests/nn/test_streams.py tests/nn/test_resonator.py tests/functional/test_oscillator_filter.py tests/training/test_equality.py

test-oldest: test-oldest-bench  ## layers and kernels on the oldest torch that pyproject.toml admits
	@test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet "torch==$$(sed -n 's/.*"torch>=\([0-9.]*\)".*/\1/p' pyproject.toml).*" numpy safetensors scipy pytest pytest-xdist
	.venv-oldest/bin/python -m pip install --quiet --no-deps --editable .
	.venv-oldest/bin/python -m pytest -n auto tests/nn tests/kernels tests/functional tests/laws --ignore tests/laws/test_bad_values.py --ignore tests/laws/test_swap.py

test-oldest-bench:  ## tables and reports on the oldest packages that the extra "bench" admits
	@test -x .venv-oldest-bench/bin/python || $(PYTHON) -m venv .venv-oldest-bench
	.venv-oldest-bench/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-oldest-bench/bin/python -m pip install --quiet pytest pytest-xdist playwright safetensors \
		$$(sed -n '/^bench = /,/^]/s/ *"\(.*\)>=\(.*\)",/\1==\2/p' pyproject.toml)
	.venv-oldest-bench/bin/python -m pip install --quiet --no-deps --editable .
	.venv-oldest-bench/bin/python -m pytest -n auto -W default tests/tables tests/forecast tests/bench/tasks tests/bench/report

test-hosts:  ## sktime's, darts' and scikit-learn's own checks, where these are installed apart
	@test -x .venv-hosts/bin/python || $(PYTHON) -m venv .venv-hosts
	.venv-hosts/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-hosts/bin/python -m pip install --quiet pytest pytest-xdist safetensors hypothesis \
		$$(sed -n '/^\(sktime\|darts\|skforecast\) = /s/.*"\(sk[a-z]*\|darts\)>=\([0-9.]*\)".*/\1>=\2/p' pyproject.toml) pytorch-lightning
	.venv-hosts/bin/python -m pip install --quiet --no-deps --editable .
	.venv-hosts/bin/python -m pytest -n auto -W default tests/hosts

browser:  # the report is tested in Debian's chromium; on a CI machine it is installed
	@if [ -n "$$CI" ] && ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	fi

cores:  # exported C runs on emulated microcontrollers; on a CI machine what that takes is installed
	@if [ -n "$$CI" ] && ! command -v qemu-system-arm >/dev/null && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && timeout 400 apt-get install -y -qq --no-install-recommends \
			gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-riscv64-unknown-elf \
			picolibc-riscv64-unknown-elf qemu-system-arm qemu-system-misc clang cmake gcc-avr \
			avr-libc simavr; } || echo "not installed: tests on emulated cores are skipped"; \
	fi

$(VENV)/.bench: $(BUILD)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[bench]'
	@touch $@

$(VENV)/.dev: $(BUILD)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.bench

clean:  ## remove the environment, builds and results
	rm -rf $(VENV) build dist docs/_build results .pytest_cache .mypy_cache .ruff_cache
