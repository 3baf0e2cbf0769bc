#!/usr/bin/env bash
# install.sh VENV LOCK: put the hashed lock into VENV, torch first. Does nothing when VENV already holds this lock.
# torch is not in the lock: its CPU and CUDA builds share a version but not their dependencies.
set -euo pipefail
venv=$1 lock=$2
torch_version=$(sed -n 's/^torch==//p' envs/requirements.in)
stamp="$venv/.installed-$(basename "$lock")"
wanted="${TORCH:-auto} $(cat "$lock" envs/requirements.in envs/uv.lock envs/install.sh pyproject.toml | sha256sum | cut -c1-16)"
[ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && exit 0
python=${PYTHON:-python3.11}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || {
  echo "Cairn's environment is locked for Python 3.11, and '$python' is not one. Install it, or name it: make PYTHON=/path/to/python3.11" >&2
  exit 1
}
echo "Cairn: making the environment in $venv (once, about a minute) ..." >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r envs/uv.lock 2>&1 | { grep -v '^WARNING: Location' || true; }
uv() { "$venv/bin/uv" pip install -q --python "$venv/bin/python" "$@"; }
kind=${TORCH:-auto}
if [ "$kind" = auto ]; then
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then kind=cuda; else kind=cpu; fi
fi
# A folder of wheels that pip has been told of may hold the CPU build; uv has to be told of it too.
links=${PIP_FIND_LINKS:-$("$venv/bin/python" -m pip config get global.find-links 2>/dev/null || true)}
if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; v = m.version('torch'); sys.exit(v.split('+')[0] != '$torch_version' or ('$kind' == 'cuda' and v.endswith('+cpu')))" 2>/dev/null; then
  if [ "$kind" = cuda ]; then uv "torch==$torch_version"
  elif [ -n "$links" ]; then UV_FIND_LINKS=$links uv "torch==$torch_version"
  else uv --torch-backend cpu "torch==$torch_version"; fi
fi
uv --no-deps --require-hashes -r "$lock"
uv --no-deps --no-build-isolation -e .
"$venv/bin/python" -m pip check --disable-pip-version-check >/dev/null || {
  "$venv/bin/python" -m pip check >&2; echo "The installed packages disagree: remove $venv and run make again." >&2; exit 1
}
# Byte code of what every start of Snakemake imports: a shell that forbids to write it would pay for it at every plan.
env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -m snakemake --version >/dev/null
echo "$wanted" >"$stamp"
