# Two commands do all the set-up: `make demo` and `make test`. Both make a virtual environment in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export OMP_WAIT_POLICY = passive

.PHONY: demo test lint unit smoke bench clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/ready  ## the whole story on the embedded default: demonstrations, sft, grpo, scores and what stands behind them
	$(BIN)/atommem check
	$(BIN)/atommem prepare stream
	$(BIN)/atommem eval --policy scripted:oracle --agent atommem --agent memagent --agent rag --agent full_context --agent closed_book
	$(BIN)/atommem eval --policy scripted:append_only --agent atommem --agent memagent --agent rag
	$(BIN)/atommem eval --policy scripted:hasty --set task.split=train --limit 1500 --out results/demonstrations
	$(BIN)/atommem eval --policy scripted:thorough --set task.split=train --limit 200 --out results/thorough
	$(BIN)/atommem sft --from results/demonstrations --from results/thorough --out results/sft-tiny
	$(BIN)/atommem eval --policy results/sft-tiny --out results/sft-tiny-eval
	$(BIN)/atommem grpo --policy results/sft-tiny --out results/grpo-tiny
	$(BIN)/atommem eval --policy results/grpo-tiny --out results/grpo-tiny-eval --ladder
	$(BIN)/atommem compare results/sft-tiny-eval results/grpo-tiny-eval
	$(BIN)/atommem ablate --drop update delete
	$(BIN)/atommem why results/grpo-tiny-eval
	$(BIN)/atommem replay results/grpo-tiny-eval
	$(BIN)/atommem report results/grpo-tiny
	$(BIN)/atommem report results/sft-tiny-eval results/grpo-tiny-eval --out results/sft-and-grpo

test: $(VENV)/ready  ## everything that CI runs
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint smoke
	$(MAKE) --no-print-directory unit

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/ready
	$(BIN)/pytest --numprocesses auto --dist loadfile

smoke: $(VENV)/ready  ## the command line, end to end, in a folder of its own
	$(BIN)/python tests/smoke.py $(abspath $(BIN)/atommem)

bench: $(VENV)/ready  ## figures as ratios, side by side in one run; peers in an environment of their own, from PyPI
	for script in tests/bench/bench_*.py; do $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
