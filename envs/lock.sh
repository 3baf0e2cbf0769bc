#!/usr/bin/env bash
# lock.sh UV: resolve the .in files into hashed locks without torch, host names or paths.
set -euo pipefail
uv=$(realpath "$1")
cd "$(dirname "$0")"
links=${PIP_FIND_LINKS:-$(python3 -m pip config get global.find-links 2>/dev/null || true)}
[ -z "$links" ] || export UV_FIND_LINKS=$links
compile() {
  "$uv" pip compile -q --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links --no-emit-package torch "$@"
}
# The tests' tools first, for both locks must agree.
compile test.in -o test-py311.lock
compile -c test-py311.lock requirements.in -o requirements-py311.lock
compile uv.in -o uv.lock
# Optional extras agree with both, and with one another: each keeps what the ones before it took.
agree=(-c test-py311.lock -c requirements-py311.lock)
for extra in s3 kubernetes slurm dicom; do
  compile "${agree[@]}" "$extra.in" -o "$extra-py311.lock"
  agree+=(-c "$extra-py311.lock")
done
