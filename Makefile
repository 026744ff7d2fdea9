# make demo | test | lint | images | images-check | e2e | e2e-bucket | e2e-containers | bench | bench-gpu | null | inference | faults | gate-seeds | intervals | audit | homes | hostile | load | fuzz | cve | lock | clean; each sets up .venv first, once.
PYTHON ?= python3
BIN := .venv/bin
ENGINE ?= podman
JOBS ?= 2
# Without cached byte-code, every import of TensorFlow would take three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint images images-check e2e e2e-bucket e2e-containers bench bench-gpu null inference faults gate-seeds intervals audit homes hostile load fuzz cve docs lock clean setup
.DELETE_ON_ERROR:

demo: setup
	@$(BIN)/python -m pipelines.commands.demo $(DEMO)

# Runs JOBS test files at a time; JOBS=0 runs them one by one.
test: setup
	@$(BIN)/python -m pytest -m "not slow" --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# With permuted labels the mean AUC must be near 0.5. PERMUTATIONS says how many (100); with unchanged code, those in runs/null are not repeated.
null: setup
	@$(if $(PERMUTATIONS),PERMUTATIONS=$(PERMUTATIONS)) $(BIN)/python -m pytest -m slow -s tests/slow/test_phantom_studies.py -k without_signal

# Error rates of gate and calibration, by a thousand simulated studies each (an hour of two cores).
inference: setup
	@$(BIN)/python -m pytest -m slow -s tests/slow/test_inference.py

# Phantoms with faults through the whole pipeline: gate, report or card must name each (20 minutes). SEED is that of the phantoms (1).
faults: setup
	@$(if $(SEED),SEED=$(SEED)) $(BIN)/python -m pytest -m slow -s tests/slow/test_faults.py

# Of 20 default phantoms at least 19 must be promoted (hours).
gate-seeds: setup
	@$(BIN)/python -m pytest -m slow -s tests/slow -k passes_the_gate

# How often the intervals of an AUC cover the true one in evaluation sets of the paper's size (two minutes).
intervals: setup
	@$(BIN)/python -m pytest -m slow -s tests/slow/test_interval_coverage.py

# The identity audit over 200 clean cohorts of 1,000 tumours, and with 1,000 planted identities.
audit: setup
	@$(BIN)/python -m pytest -m slow -s tests/components/preprocess/test_simulated_cohorts.py

# The compiled pipelines with cohort, members, MLflow's artifacts and bundles in a real bucket.
e2e-bucket: setup
	@$(BIN)/python -m pytest -m slow tests/e2e/test_over_s3.py

# Robustness of predictor and registry: hostile requests, the largest bodies, promotions killed at any moment.
hostile: setup
	@$(BIN)/python -m pytest -m slow -s tests/serving/test_hostile.py tests/components/promote/test_killed.py

# Three minutes of requests while the predictor is restarted by SIGTERM: every accepted request must be answered.
load: setup
	@$(BIN)/python -m pytest -m slow -s tests/serving/test_load.py

# Homes that are copied, moved, killed, locked, filled and damaged: each must end with the same Table III or an error with a hint.
homes: setup
	@$(BIN)/python -m pytest -m slow tests/e2e/test_homes.py

# A million generated requests (an hour of a processor), then those that schemathesis derives from the OpenAPI document: every reply
# must be documented. COUNT, SEED and START select a part of the former; a failure prints the values that reproduce it.
fuzz: setup
	@PYTHONPATH=. $(BIN)/python -m tests.serving.fuzz.run $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(if $(START),--start $(START))
	@FUZZ_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -m slow -s tests/serving/test_schemathesis.py

# Known vulnerabilities of all locked packages; exit code 3 if their database could not be queried.
cve: setup
	@PYTHONPATH=. $(BIN)/python infra/cve.py

# The whole study on the cluster of the current kubeconfig; without one, it prints what it needs.
e2e: setup
	@$(BIN)/python -m pytest -m slow -s tests/e2e/test_cluster.py

# Builds both images by podman, buildah or docker (ENGINE); IMAGES gives further options of build.py.
images:
	@$(PYTHON) infra/images/build.py --engine $(ENGINE) $(IMAGES)

# Runs both images: a component by KFP's executor, and a request to the predictor.
images-check: setup images
	@$(BIN)/python -m pytest -m slow -s tests/infra/test_images.py

# The whole study with one container per task, all data in S3; run `make images` first.
e2e-containers: setup
	@$(BIN)/python -m pytest -m slow -s tests/e2e/test_containers.py

bench: setup
	@for script in $(filter-out %/bench_gpu.py,$(wildcard tests/benchmarks/bench_*.py)); do PYTHONPATH=. $(BIN)/python $$script || exit 1; done

# Packs of members on the accelerator that it finds, in less than five minutes; without one, a small check of itself.
bench-gpu: setup
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/bench_gpu.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit(f"srs-response needs Python 3.11, 3.12 or 3.13; $(PYTHON) is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	@echo "setting up .venv (once, a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-warn-conflicts --compile -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Writes the pages of docs/ that are generated from the code.
docs: setup
	@PYTHONPATH=. $(BIN)/python -m tests.docs.error_page

# Rewrites the locks from pyproject.toml, for every supported Python and platform. Needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-annotate --no-header \
	  --output-file requirements.lock pyproject.toml
	$(PYTHON) infra/images/lock.py

clean:
	rm -rf .venv runs *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
