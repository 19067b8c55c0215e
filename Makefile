PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
HALF ?= slow or not slow

.PHONY: demo test slow test-slow test-readme site lint format clean

$(BIN)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(BIN)/.installed  ## WGAN-GP on the digits, about two minutes on two cores
	$(BIN)/python train.py fit -c configs/wgan_gp.yaml -c configs/data/digits.yaml -c configs/demo.yaml

test: $(BIN)/.installed lint  ## the networks of the tests are too small for two threads to pay, but not for two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

slow test-slow: $(BIN)/.installed
	$(BIN)/python -m pytest -m slow -s

test-readme: $(BIN)/.installed  ## every command of README.md as typed, the slow ones too, with a list of them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/user/test_pages.py -m '$(HALF)' -k README -vv -rs

site: $(BIN)/.installed  ## build/site/index.html, from the Markdown that exists and the docstrings
	$(BIN)/python docs/site.py

lint: $(BIN)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
