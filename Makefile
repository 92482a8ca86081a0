# Everything a user types. `make` alone lists the targets; each sets up what it needs itself.

PYTHON ?= python3
PY := .venv/bin/python
GPUS ?= 1
TEST_JOBS ?= 2

# What a user gives reaches the programs through the shell as it was typed: `value` keeps make from
# expanding a $ in a path, and the programs part lists at blanks and keep quoted ones together.
GIVEN := DATA DATA_ROOT OUT CONFIG OPTS WORK_DIR RESUME RUN CHECKPOINTS PART IMAGES SPACE TRIALS STUDY STORAGE
$(foreach name,$(GIVEN),$(if $(filter undefined,$(origin $(name))),,\
  $(eval override export $(name) := $$(value $(name)))))

.DEFAULT_GOAL := help
.PHONY: help setup download prepare browse train tune evaluate report predict box test lint bench \
  bench-stain stain-figure clean

help: ## this page
	@echo "Blood-cell segmentation. Targets:"
	@awk -F ' ## ' '/^[a-z-]+:.* ## /{sub(/:.*/, "", $$1); printf "  %-13s %s\n", $$1, $$2} \
	  /^#: /{sub(/^#: /, ""); printf "  %13s %s\n", "", $$0}' $(firstword $(MAKEFILE_LIST))
	@echo; echo "  DATA_ROOT=… names another prepared data set than data/bccd, for every target."

setup: ## install everything into .venv/ (minutes once, then at once)
#: PYTHON=python3.11 picks the Python
	@$(PYTHON) -m tools.setup

download: setup ## fetch the BCCD data set from Kaggle
	@$(PY) -c "import kagglehub" 2>/dev/null || $(PY) -m pip install -q --retries 1 \
	  -c requirements/tested.txt "kagglehub>=0.3" || true
	@$(PY) -m data_prep.download $(ARGS)

prepare: setup ## masks to COCO JSON; synthetic demo smears where there is no data
#: DATA="/path/BCCD Dataset with mask"  OUT=data/bccd  ARGS="--skip-bad --split-touching"
	@$(PY) -m data_prep.prepare $(if $(DATA),--data "$$DATA") $(if $(OUT),--out "$$OUT") $(ARGS)

browse: setup ## a sheet of training samples with outlines, as the model sees them
#: CONFIG=configs/….py  OPTS="…"  PART=train|val|test  OUT=sheet.png  ARGS="--number 6 --seed 1"
	$(if $(CONFIG),,$(error CONFIG=configs/….py says which samples: docs/augmentation.md))
	@$(PY) -m tools.browse "$$CONFIG" $(if $(PART),--part "$$PART") $(if $(OUT),--out "$$OUT") \
	  $(if $(OPTS),--opts "$$OPTS") $(ARGS)

train: setup ## train; picks a config for this machine and says which
#: CONFIG=configs/….py  OPTS="optim_wrapper.optimizer.lr=5e-4 …"  WORK_DIR=…  RESUME=1  GPUS=1
	$(if $(OUT),$(error OUT is what prepare, evaluate, report and predict write; name the \
	  prepared data with DATA_ROOT=… and the run folder with WORK_DIR=…))
	@$(PY) -m tools.train $(if $(CONFIG),"$$CONFIG") $(if $(filter-out 0 1,$(GPUS)),--gpus $(GPUS)) \
	  $(if $(WORK_DIR),--work-dir "$$WORK_DIR") \
	  $(if $(RESUME),--resume $(if $(filter-out 1,$(RESUME)),"$$RESUME")) \
	  $(if $(OPTS),--opts "$$OPTS") $(ARGS)

tune: setup ## search for better settings; the same command again is one more worker
#: SPACE=configs/tune/….py  TRIALS=16  RUN=work_dirs/…  STUDY=…  STORAGE=URL  ARGS=--report
	$(if $(SPACE),,$(error SPACE=configs/tune/….py says what to search: docs/tune.md))
	@$(PY) -m tools.tune "$$SPACE" $(if $(TRIALS),--trials "$$TRIALS") \
	  $(if $(STUDY),--study "$$STUDY") $(if $(STORAGE),--storage "$$STORAGE") \
	  $(if $(RUN),--run "$$RUN") $(if $(OUT),--out "$$OUT") \
	  $(if $(filter-out 0 1,$(GPUS)),--gpus $(GPUS)) $(if $(OPTS),--opts "$$OPTS") $(ARGS)

evaluate: setup ## best checkpoint on validation, values on test
#: RUN=work_dirs/… (the newest)  CHECKPOINTS="epoch_10.pth epoch_20.pth"  PART=train|val|test
	@$(PY) -m tools.evaluate $(if $(RUN),"$$RUN") \
	  $(if $(CHECKPOINTS),--checkpoints "$$CHECKPOINTS") $(if $(PART),--part "$$PART") \
	  $(if $(OUT),--out "$$OUT") $(ARGS)

report: setup ## one HTML page of a run: curves, values, errors, pictures
#: RUN=work_dirs/… (the newest)  PART=train|val|test
	@$(PY) -m tools.report $(if $(RUN),"$$RUN") $(if $(PART),--part "$$PART") \
	  $(if $(OUT),--out "$$OUT") $(ARGS)

predict: setup ## outlines, counts and areas of your own slides
#: IMAGES=/path/to/my/slides  RUN=work_dirs/… (the newest, else box)  OUT=…  ARGS="--pixel-size 0.075"
	@$(PY) -m tools.predict $(if $(IMAGES),"$$IMAGES") $(if $(RUN),--run "$$RUN") \
	  $(if $(OUT),--out "$$OUT") $(ARGS)

box: setup ## make the model in the box anew (hours; goes on where it was stopped)
#: OPTS="train_dataloader.batch_size=32 …"  ARGS="--checkpoint FILE"
	@$(PY) -m tools.box $(if $(OPTS),--opts "$$OPTS") $(ARGS)

test: setup ## run the tests
#: ARGS="-m 'not slow' tests/cellkit"  TEST_JOBS=2
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup ## check the style, and which room imports which
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet . || { echo 'Format with: $(PY) -m ruff format .'; exit 1; }
	@$(PY) -c "from importlinter.cli import lint_imports_command as run; run()"

bench: setup ## speed of dense instances against the stock way
	@$(PY) -m benchmarks dense $(ARGS)

bench-stain: setup ## speed of stain normalisation against the libraries
	@$(PY) -m benchmarks stain $(ARGS)

stain-figure: setup ## the figure of stain normalisation methods and references
	@$(PY) -m tools.stain figure $(ARGS)

clean: ## remove build files and caches; data, runs and .venv/ stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
