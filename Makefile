# `make demo` and `make test` need nothing first: both install what they need into .venv, once.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)
# torch-fidelity and its torchvision, which ours is compared to, are in a folder of their own: beside a CPU build of torch,
# PyPI's torchvision would stop lightning and transformers from importing.
FIDELITY := .venv/fidelity
# The peers of benchmarks (quantizer, training), and peft, which LoRA needs: apart, as accelerate would change how others
# import.
PEERS := .venv/peers
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: install demo reference test bench lint docs clean

install: $(STAMP)

# The stamp is written last, so an installation that was cut off is taken up again. Torch comes first and alone, for
# its build depends on the machine; the line after it finds it in place.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "open-illume needs Python 3.11 or newer: make PYTHON=python3.11")'
	@echo "Installing into .venv: a few minutes, once."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@$(PIP) --quiet -c constraints.txt setuptools
	@if nvidia-smi -L >/dev/null 2>&1; then $(PIP) --no-deps "$(TORCH)"; \
	else $(PIP) --no-deps "$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) --no-deps --index-url $(CPU_INDEX) "$(TORCH)"; fi
	@$(PIP) --quiet -c constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

# The whole chain on the playground, from scratch to runs/playground/report.html.
demo: install
	$(BIN)/python demo.py --scale demo

# The same chain at length: under two hours.
reference: install
	$(BIN)/python demo.py --scale reference

test: install $(FIDELITY)/.installed $(PEERS)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile
	PYTHONPATH=$(FIDELITY):$(PEERS) $(BIN)/python -m pytest -q -n 2 --dist loadfile \
	  tests/evals/fidelity tests/callbacks/test_fidelity.py tests/benchmarks/test_quantizer.py \
	  tests/benchmarks/test_training.py tests/benchmarks/test_gpu_checks.py tests/models/language/test_lora.py \
	  tests/lightning_modules/test_frozen_dtype.py

# Every benchmark, each in a process of its own; writes docs/results/bench/ and docs/understand/performance.md. Let nothing run beside.
bench: install $(FIDELITY)/.installed $(PEERS)/.installed
	$(BIN)/python -m benchmarks

$(FIDELITY)/.installed: $(STAMP)
	@rm -rf $(FIDELITY)
	@$(PIP) --quiet --no-deps -c constraints.txt --target $(FIDELITY) torch-fidelity torchvision
	@rm -rf $(FIDELITY)/tests  # torch-fidelity's own, which would stand before ours
	@touch $@

$(PEERS)/.installed: $(STAMP)
	@rm -rf $(PEERS)
	@$(PIP) --quiet --no-deps -c constraints.txt --target $(PEERS) accelerate psutil peft \
	  vector-quantize-pytorch einops einx frozendict loguru torch-einops-utils
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in site/; a broken link fails.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Leaves .venv and runs/: they took long to make.
clean:
	rm -rf .pytest_cache .ruff_cache .mypy_cache build site *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -not -path './runs/*' -prune -exec rm -rf {} +
