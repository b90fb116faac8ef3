"""Compiled programs: kept in a folder of the user's own, used again by the next process, and never by others."""

import os
import subprocess
import sys
import time
import zlib
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from proximax.runtime import compilation

TRAIN = """
import jax, proximax
folders = []  # in use while training; afterwards JAX's settings are as before
see = lambda rows: folders.append(jax.config.jax_compilation_cache_dir)
settings = dict(steps=64, num_envs=2, num_steps=16, minibatch_size=16, epochs=1, eval_episodes=2, quiet=True)
result = proximax.train("probe:constant", callbacks=[see], **settings)
print(folders[0], result.compile_s)
"""

COMPILE = """
import jax
from proximax.runtime import compilation
compilation.prepare(1)
assert jax.jit(lambda x: x @ x)(jax.numpy.ones((8, 8)))[0, 0] == 8
print(jax.config.jax_compilation_cache_dir, 0)
"""


def train(cache, **environment):
    """(folder in use, seconds compiling) of a small training run in a process of its own."""
    return in_process(TRAIN, cache, environment)


def folder(cache, **environment):
    """The folder in use where a run would compile."""
    return in_process(COMPILE, cache, environment)[0]


def in_process(script, cache, environment):
    """What a script prints, in a process that has a cache folder of its own."""
    kept = {"JAX_DISABLE_MOST_OPTIMIZATIONS"}
    clean = {k: v for k, v in os.environ.items() if k in kept or not k.startswith("JAX_")}
    told = {**clean, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(cache), **environment}
    ran = subprocess.run([sys.executable, "-c", script], env=told, capture_output=True, text=True, check=True)
    place, seconds = ran.stdout.split()
    return place, float(seconds)


@pytest.mark.process
@pytest.mark.slow
def test_a_second_run_finds_the_programs_of_the_first(tmp_path):
    place, cold = train(tmp_path)
    assert place.startswith(str(tmp_path / "proximax"))
    assert os.stat(place).st_mode & 0o777 == 0o700
    kept = set(os.listdir(place))
    assert any("run_updates" in name for name in kept)
    again, warm = train(tmp_path)
    assert again == place
    assert set(os.listdir(place)) == kept  # nothing was compiled that was not there
    assert warm < cold


@pytest.mark.process
@pytest.mark.slow
def test_it_can_be_turned_off_or_moved(tmp_path):
    assert folder(tmp_path / "a", JAX_ENABLE_COMPILATION_CACHE="0") == "None"
    assert not (tmp_path / "a").exists()
    moved = str(tmp_path / "moved")
    assert folder(tmp_path / "a", JAX_COMPILATION_CACHE_DIR=moved) == moved
    assert not (tmp_path / "a").exists()


@pytest.mark.process
@pytest.mark.slow
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_to_all = compilation.cache_folder()
    open_to_all.mkdir(parents=True)
    open_to_all.chmod(0o777)
    assert folder(tmp_path) == "None"
    assert not os.listdir(open_to_all)


@pytest.mark.process
@pytest.mark.slow
def test_without_a_place_to_write_everything_still_runs(tmp_path):
    (tmp_path / "file").touch()
    assert folder(tmp_path / "file") == "None"


@pytest.mark.fault(50)
def test_programs_that_were_cut_short_are_removed_once(tmp_path):
    whole = zlib.compress(bytes(10_000))
    for name, data in {"whole": whole, "cut": whole[:20], "empty": b"", "other": b"no program at all"}.items():
        (tmp_path / f"{name}-cache").write_bytes(data)
    compilation.remove_damaged(tmp_path)
    assert set(os.listdir(tmp_path)) == {"whole-cache", ".checked"}
    (tmp_path / "whole-cache").write_bytes(whole[:20])  # only what was written since is looked at
    os.utime(tmp_path / "whole-cache", (1e9, 1e9))
    (tmp_path / "new-cache").write_bytes(whole[:-1])
    compilation.remove_damaged(tmp_path)
    assert set(os.listdir(tmp_path)) == {"whole-cache", ".checked"}


def test_a_program_compressed_as_zstandard_is_judged_where_that_is_installed(monkeypatch):
    class Decompressor:
        eof = False

        def decompress(self, data):
            self.eof = data.endswith(b"end")

    module = SimpleNamespace(
        ZstdDecompressor=lambda: SimpleNamespace(decompressobj=Decompressor),
        ZstdError=type("ZstdError", (Exception,), {}),
    )
    monkeypatch.setitem(sys.modules, "zstandard", module)
    assert compilation.is_whole(compilation.ZSTANDARD + b"end")
    assert not compilation.is_whole(compilation.ZSTANDARD + b"en")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert compilation.is_whole(compilation.ZSTANDARD + b"en")  # who knows


def test_the_oldest_programs_go_first(tmp_path):
    for i, name in enumerate(("old", "middle", "new")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (time.time(), 1e9 + i))
    compilation.prune(tmp_path, 250)
    assert set(os.listdir(tmp_path)) == {"middle", "new"}
    compilation.prune(tmp_path, 250)
    assert set(os.listdir(tmp_path)) == {"middle", "new"}


@pytest.mark.parametrize("static", [False, True])
def test_jit_computes_what_jax_jit_does(static):
    def f(x, n):
        return jax.numpy.tanh(x) * n

    settings = {"static_argnums": 1} if static else {}
    x = np.linspace(-3, 3, 100, dtype=np.float32)
    np.testing.assert_allclose(compilation.jit(f, **settings)(x, 3), jax.jit(f, **settings)(x, 3), rtol=1e-6)


@pytest.mark.parametrize("quickly", [pytest.param(False, marks=pytest.mark.optimised), True])
def test_extra_options_hold_inside_their_context_only(quickly, monkeypatch):
    assert jax.config.values["jax_disable_most_optimizations"] == quickly  # which is less effort than fast_compile
    options, fast = [], {} if quickly else compilation.FAST_COMPILE_OPTIONS
    monkeypatch.setattr(jax, "jit", lambda function, compiler_options: options.append(compiler_options))
    with compilation.extra_cpu_options({"xla_cpu_enable_xprof_traceme": True}):
        compilation.jit(len)
    compilation.jit(len, fast_compile=True)
    assert options == [
        {**compilation.CPU_OPTIONS, "xla_cpu_enable_xprof_traceme": True},
        {**compilation.CPU_OPTIONS, **fast},
    ]


def run_updates(x):
    return jax.numpy.sum((x @ x) ** 2)


@pytest.mark.trap(39)
@pytest.mark.parametrize(("told", "expected"), [(None, "HIGHEST"), ("tensorfloat32", "HIGH")])
def test_accelerators_multiply_in_full_float32_unless_told_otherwise(monkeypatch, told, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    gradient = compilation.jit(partial(jax.grad(run_updates)))
    with jax.default_matmul_precision(told):
        text = gradient.lower(np.eye(3, dtype=np.float32)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 3  # forward, and for each of the two factors
    assert all(f"precision = [{expected}, {expected}]" in line for line in products)


@pytest.mark.trap(39)
def test_the_precise_program_keeps_its_name_and_static_arguments(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    program = compilation.jit(partial(partial(np_power), 2.0), static_argnums=1)
    assert "np_power" in program.lower(np.float32(3), 4).as_text()
    assert program(np.float32(3), 4) == 2.0 * 81


def np_power(factor, x, exponent):
    return factor * x**exponent


def test_on_a_gpu_a_run_says_what_the_same_bits_need(monkeypatch):
    assert compilation.repeatability_notes() == []  # on CPU nothing has to be set
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/x")
    (note,) = compilation.repeatability_notes()
    assert compilation.GPU_REPEATABLE_FLAGS in note
    monkeypatch.setenv("XLA_FLAGS", compilation.GPU_REPEATABLE_FLAGS)
    assert compilation.repeatability_notes() == []


@pytest.mark.trap(38)
def test_shards_have_as_many_threads_whatever_cores_there_are(monkeypatch):
    monkeypatch.setenv("NPROC", "7")
    compilation.prepare(1)
    assert os.environ["NPROC"] == "7"
    compilation.prepare(1, 3)
    assert os.environ["NPROC"] == "3"
