# Two commands: `make demo` runs the main job on the embedded cohort, `make test` runs the tests.
# Both make .venv first, from the hashed locks in envs/. TORCH=auto|cpu|cuda (auto: cuda where nvidia-smi answers).
SHELL := bash
PYTHON ?= python3.11
TORCH ?= auto
VENV := .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE  # byte code is kept beside the packages: see the Snakefile
RUN_ENV := PATH="$(CURDIR)/$(BIN):$$PATH" DVC_NO_ANALYTICS=1

EXTRAS := slurm kubernetes s3 dicom

.PHONY: help env env-test $(EXTRAS:%=env-%) demo test test-all test-cluster check lock clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo       environment, then the whole workflow on the embedded cohort: results/demo/report/index.html
demo: env
	$(RUN_ENV) snakemake --cores all

## make test       environment and test tools, then the suite
test: env-test
	$(RUN_ENV) python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not slow"

## make test-all   the slow tests too
test-all: env-test
	$(RUN_ENV) python -m pytest

## make test-cluster  Slurm, Kubernetes and object storage, in an environment of their own (docs/how-to/cluster.md)
test-cluster:
	@$(MAKE) VENV=.venv-cluster env-test env-slurm env-kubernetes env-s3
	PATH="$(CURDIR)/.venv-cluster/bin:$$PATH" python -m pytest -rs -m slow tests/cluster

## make check      formatters, linters, types
check: env-test
	$(RUN_ENV) bash envs/check.sh

## make lock       resolve envs/*.in again into the hashed locks
lock: env
	bash envs/lock.sh "$(BIN)/uv"

env:
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" bash envs/install.sh "$(VENV)" envs/requirements-py311.lock

env-test: env
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" bash envs/install.sh "$(VENV)" envs/test-py311.lock

## make env-slurm, env-kubernetes, env-s3, env-dicom   extras, on top of the environment
$(EXTRAS:%=env-%): env-%: env
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" bash envs/install.sh "$(VENV)" envs/$*-py311.lock

## make clean      remove what the workflow made (keeps the environment)
clean:
	rm -rf results .snakemake
