#!/usr/bin/env bash
# Fetch what a GPU machine without a network lacks into FOLDER (default: .gpu-kit): wheels for Python 3.12 on Linux x86-64,
# and PureJaxRL's scripts. The machine must have JAX with CUDA, Flax, Optax, safetensors, rich and jaxtyping.
#
#   benchmarks/gpu/pack.sh [FOLDER]        PUREJAXRL=../purejaxrl: a clone that is there already
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-.gpu-kit}
python=${PYTHON:-python3}

fetch() { # fetch FOLDER PACKAGE...
    local target=$1 platforms=()
    shift
    for tag in _2_28 _2_27 _2_17 2014; do platforms+=(--platform "manylinux${tag}_x86_64"); done
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$target" \
        --python-version 3.12 --implementation cp "${platforms[@]}" "$@"
}

rm -rf "$folder"
mkdir -p "$folder"
fetch "$folder/wheels" 'gymnasium==1.3.0' farama-notifications tyro docstring-parser typeguard 'gymnax==1.0.1' six \
    'ale-py==0.12.1'
# PureJaxRL and Rejax take five values of a gymnax step; gymnax 1 gives six.
fetch "$folder/peer-wheels" 'gymnax<1' 'rejax==0.1.3' distrax tfp-nightly decorator gast dm-tree six 'gymnasium==1.3.0' \
    farama-notifications
if [ -n "${PUREJAXRL:-}" ]; then
    cp -r "$PUREJAXRL" "$folder/purejaxrl"
else
    git clone --quiet --depth 1 https://github.com/luchris429/purejaxrl "$folder/purejaxrl"
fi
rm -rf "$folder/purejaxrl/.git" "$folder/purejaxrl/docs"
du -sh "$folder"
