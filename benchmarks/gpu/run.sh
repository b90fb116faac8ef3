#!/usr/bin/env bash
# Everything that is measured on a GPU, the most valuable first, in at most SECONDS (default: 500), on a machine with a
# GPU, Python 3.12 and JAX with CUDA. What is missing there is taken from the folder that benchmarks/gpu/pack.sh made.
#
#   benchmarks/gpu/run.sh [--seconds 500] [--out gpu-results] [--only PART ...] [--toy]
#
# Results are written after every part, so one that is cut has what it measured. --toy: tiny sizes, on CPU too.
set -euo pipefail
cd "$(dirname "$0")/../.."
kit=${GPU_KIT:-.gpu-kit}
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
for name in wheels peer-wheels; do
    [ -d "$kit/$name" ] || continue
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site/$name" "$kit/$name"/*.whl
done
PYTHONUNBUFFERED=1 "$python" benchmarks/gpu/kit.py --site "$site" --purejaxrl "$kit/purejaxrl" "$@"
