SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON      ?= python3
VENV        := .venv
LOCKS       := $(wildcard docker/requirements/*.txt)
ACCELERATOR ?= cpu
WHERE       ?= auto
PYTEST      := $(VENV)/bin/pytest
place        = $(if $(wildcard $(1)),$(abspath $(1)),$(1))

.PHONY: help demo guide test setup engine images images-if-possible lint lock \
        test-unit test-contract-training test-conformance check-others test-kill test-tuning test-aws \
        test-cuda-images bench bench-images bench-train bench-serve bench-gpu bench-debug \
        bench-debug-report bench-tuning bench-data \
        fuzz-serving soak-serving test-contract-serving test-debugger test-local-mode test-aws

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: setup ## the main job: train, serve, predict (WHERE=auto|process|local DATA=… MODEL=…)
	where=$$(docker/place.sh "$(WHERE)") && $(VENV)/bin/byoc demo --where "$$where" \
		$(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)")

guide: setup ## the guide's whole path, docs/guide/cola.sh, in the folder OUT (WHERE=auto|process|local DATA=… MODEL=…)
	where=$$(docker/place.sh "$(WHERE)") && mkdir -p "$(or $(OUT),out/guide)" && cd "$(or $(OUT),out/guide)" && \
		WHERE=$$where DATA="$(call place,$(DATA))" MODEL="$(call place,$(MODEL))" PATH="$(CURDIR)/$(VENV)/bin:$$PATH" \
		"$(CURDIR)/docs/guide/cola.sh"

test: setup ## lint and all tests; what a machine cannot run is skipped, with the reason
	docker/programs.sh java nginx docker-registry chromium || true
	$(MAKE) --no-print-directory --jobs 2 lint images-if-possible
	$(PYTEST) --ignore=tests/cuda_images --durations=25

setup: $(VENV)/.complete ## make .venv with `byoc`, `train` and `serve` in it
$(VENV)/.complete: pyproject.toml code/byoc/serving/kernels.c $(LOCKS) docker/setup_venv.sh docker/patch_smdebug.py
	docker/setup_venv.sh $(VENV) $(PYTHON)

engine: ## make sure that a Docker engine answers
	docker/engine.sh

images-if-possible: # without an engine the tests that need it are skipped, with the reason
	if docker/engine.sh; then docker/images.sh all; fi

images: engine ## build both images (ACCELERATOR=cpu|cuda)
	docker/images.sh all --accelerator $(ACCELERATOR)

test-unit: setup ## the tests that need no Docker
	$(PYTEST) tests/unit

test-contract-training: setup engine ## a row for each clause of the training contract
	docker/images.sh training
	$(VENV)/bin/byoc check byoc-training:cpu --training

test-contract-serving: setup engine ## a row for each clause of the hosting contract
	docker/images.sh serving
	$(VENV)/bin/byoc check byoc-serving:cpu --serving

test-conformance: setup engine ## is `byoc check` right? 65 images broken on purpose, three times (an hour and more)
	docker/programs.sh docker-registry || true
	BYOC_LONG=1 $(PYTEST) -v tests/contract/test_conformance_matrix.py tests/contract/test_images_of_others.py

check-others: setup engine ## `byoc check` on four images of others' design: docs/conformance.md's table (OUT=…)
	docker/programs.sh docker-registry || true
	tests/images_of_others/build.sh
	mkdir -p $(or $(OUT),out/others)
	tests/images_of_others/check.sh $(or $(OUT),out/others)
	$(VENV)/bin/python tests/images_of_others/table.py $(or $(OUT),out/others)

test-kill: setup ## SIGKILL at 32 moments of a training job: at random, in a write, before and after; ranks and hosts killed
	BYOC_LONG=1 $(PYTEST) -s tests/contract/test_kill.py tests/contract/test_several_processes.py

test-tuning: setup ## tuning here and on moto: both presets, SIGKILL at many moments, ten minutes
	docker/programs.sh chromium pg_ctlcluster || true
	BYOC_LONG=1 $(PYTEST) tests/unit/test_tuning_*.py tests/local_mode/test_tun*.py tests/aws/test_tune_sagemaker.py

test-local-mode: setup engine ## jobs, endpoints, transforms and tunings in SageMaker local mode and in processes
	docker/programs.sh java nginx || true
	docker/images.sh all
	BYOC_LONG=1 $(PYTEST) tests/local_mode

test-aws: setup ## everything that goes to AWS, against moto's server, the long forms too
	docker/programs.sh docker-registry || true
	BYOC_LONG=1 $(PYTEST) tests/aws

test-cuda-images: setup ## build the CUDA images and look into them (several GB)
	$(MAKE) images ACCELERATOR=cuda
	$(PYTEST) tests/cuda_images

fuzz-serving: setup ## 20,000 requests of all kinds to `serve`, about 15 minutes
	BYOC_FUZZ_REQUESTS=20000 $(PYTEST) tests/contract/test_fuzz.py

soak-serving: setup ## half an hour of `serve` at 70% of its peak
	BYOC_SOAK_SECONDS=1800 $(PYTEST) -s tests/contract/test_soak.py

bench: bench-images bench-train bench-serve bench-debug bench-debug-report bench-tuning bench-data ## every benchmark

bench-images: setup images ## image sizes by package, and cold starts
	$(VENV)/bin/python -m byoc.bench.images

bench-train: setup ## training against its peers (DATA=… MODEL=a pretrained encoder OUT=… ARGS=…)
	if docker/engine.sh; then docker/images.sh training; fi
	$(VENV)/bin/python -m byoc.bench.training $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") \
		$(if $(OUT),--out "$(OUT)") $(ARGS)

bench-serve: setup engine ## serving under load against the stock stack (DATA=… MODEL=a pretrained encoder ARGS=--short …)
	docker/programs.sh wrk
	docker/images.sh serving
	$(VENV)/bin/python -m byoc.bench.serving $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

test-debugger: setup ## rules against real trainings with planted faults, half an hour (DATA=CoLA MODEL=MiniLM OUT=… ARGS=…)
	$(VENV)/bin/python -m byoc.bench.rule_truth $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") \
		$(if $(OUT),--out "$(OUT)") $(ARGS)

bench-gpu: setup ## training and serving on an NVIDIA GPU, without Docker (DATA=… MODEL=where a tokenizer is ARGS=…)
	docker/programs.sh java nginx wrk
	$(VENV)/bin/python -m byoc.bench.gpu $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

bench-debug: setup ## what debugging costs: steps, sampler, disk (DATA=… MODEL=a pretrained encoder ARGS=--short …)
	$(VENV)/bin/python -m byoc.bench.debug $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

bench-debug-report: setup ## the report of a job with 1,000,000 samples and 10,000 saved steps: seconds, memory
	$(VENV)/bin/python -m byoc.bench.debug_report $(ARGS)

bench-tuning: setup ## is tuning worth it, what pruning saves, the tuner's cost (DATA=CoLA MODEL=MiniLM OUT=… ARGS="--only … --short")
	$(VENV)/bin/python -m byoc.bench.tuning $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") \
		$(if $(OUT),--out "$(OUT)") $(ARGS)

bench-data: setup ## `byoc data explore` over 1,000,000 rows: seconds, memory (MODEL=whose word pieces ARGS=--rows …)
	$(VENV)/bin/python -m byoc.bench.data $(if $(MODEL),--model "$(MODEL)") $(ARGS)

lint: setup ## ruff, mypy, shellcheck
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	git ls-files '*.sh' .ci/run | xargs $(VENV)/bin/shellcheck

lock: setup ## resolve pyproject.toml's versions anew into docker/requirements/*.txt
	UV=$(VENV)/bin/uv docker/requirements/lock.sh
