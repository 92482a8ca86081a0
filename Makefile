# Everything a user types. `make` alone lists the targets; each sets up what it needs itself.

PYTHON ?= python3
PY := .venv/bin/python

# Where the prepared data set lies; the configs read DATA_ROOT.
OUT := $(or $(OUT),$(DATA_ROOT),data/bccd)
export DATA_ROOT := $(OUT)

# Handed to the shell as they are: paths with spaces and values with brackets survive.
export DATA CONFIG OPTS WORK_DIR RESUME RUN CHECKPOINTS IMAGES

GPUS ?= 1
TEST_JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup download prepare train evaluate report predict test lint bench bench-stain stain-figure clean

help: ## this page
	@echo "Blood-cell segmentation. Targets:"
	@awk -F ' ## ' '/^[a-z-]+:.* ## /{sub(/:.*/, "", $$1); printf "  %-13s %s\n", $$1, $$2} \
	  /^#: /{sub(/^#: /, ""); printf "  %13s %s\n", "", $$0}' $(firstword $(MAKEFILE_LIST))

setup: ## install everything into .venv/ (15 minutes once, then at once)
#: PYTHON=python3.11 picks the Python
	@$(PYTHON) -m tools.setup

download: setup ## fetch the BCCD data set from Kaggle
	@$(PY) -c "import kagglehub" 2>/dev/null || $(PY) -m pip install -q --retries 1 \
	  --no-build-isolation -c requirements/tested.txt -e ".[download]" || true
	@$(PY) -m data_prep.download $(ARGS)

prepare: setup ## masks to COCO JSON; synthetic demo smears where there is no data
#: DATA="/path/BCCD Dataset with mask"  OUT=data/bccd  ARGS="--skip-bad --split-touching"
	@$(PY) -m data_prep.prepare $(if $(DATA),--data "$$DATA") --out "$$DATA_ROOT" $(ARGS)

train: setup ## train; picks a config for this machine and says which
#: CONFIG=configs/….py  OPTS="optim_wrapper.optimizer.lr=5e-4 …"  WORK_DIR=…  RESUME=1  GPUS=1
	@set -f; config=$${CONFIG:-$$($(PY) -m tools.pick_config)} || exit 1; \
	$(PY) -m tools.run_mim train mmdet "$$config" \
	  $(if $(filter-out 0 1,$(GPUS)),--launcher pytorch --gpus $(GPUS)) \
	  $(if $(WORK_DIR),--work-dir "$$WORK_DIR") \
	  $(if $(RESUME),--resume $(if $(filter-out 1,$(RESUME)),"$$RESUME")) \
	  $(if $(OPTS),--cfg-options $$OPTS)

evaluate: setup ## best checkpoint on validation, figures on test
#: RUN=work_dirs/… (the newest)  CHECKPOINTS="epoch_10.pth epoch_20.pth"  PART=train|val|test
	@$(PY) -m tools.evaluate $(if $(RUN),"$$RUN") $(if $(CHECKPOINTS),$$CHECKPOINTS) $(if $(PART),--part $(PART)) $(ARGS)

report: setup ## one HTML page of a run: curves, figures, errors, pictures
#: RUN=work_dirs/… (the newest)  ARGS="--part val"
	@$(PY) -m tools.report $(if $(RUN),"$$RUN") $(ARGS)

predict: setup ## outlines, counts and areas of your own slides
#: IMAGES=/path/to/my/slides  RUN=work_dirs/… (the newest)  ARGS="--pixel-size 0.075"
	@$(PY) -m tools.predict $(if $(IMAGES),"$$IMAGES") $(if $(RUN),--run "$$RUN") $(ARGS)

test: setup ## run the tests
#: ARGS="-m 'not slow' tests/cellkit"  TEST_JOBS=2
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(TEST_JOBS) --dist loadfile $(ARGS)

lint: setup ## check the style
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet . || { echo 'Format with: $(PY) -m ruff format .'; exit 1; }

bench: setup ## speed of dense instances against the stock way
	@$(PY) benchmarks/bench_dense.py $(ARGS)

bench-stain: setup ## speed of stain normalisation against the libraries
	@$(PY) benchmarks/bench_stain.py $(ARGS)

stain-figure: setup ## the figure of stain normalisation methods and references
	@$(PY) -m tools.stain_figure $(ARGS)

clean: ## remove build files and caches; data, runs and .venv/ stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info .venv/setup-stamp
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
