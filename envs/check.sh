#!/usr/bin/env bash
# check.sh: formatters, linters, types. Prints what to mend; changes nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0
run() { printf '== %s\n' "$*"; "$@" || status=1; }
run ruff format --check src tests workflow
run ruff check src tests workflow
run mypy
run snakefmt --check Snakefile rules
run snakemake --lint
exit $status
