"""examples/cpp: compiled, it acts as the agent. On demand: where g++ and the headers of onnxruntime are.

Debian 13 has them in libonnxruntime-dev; ``ONNXRUNTIME_INCLUDE`` names another folder. The library is the Python
package's.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import proximax
from proximax.exporting.exporter import export_agent
from tests.support import ROOT
from tests.support.exported_agents import agent

onnxruntime = pytest.importorskip("onnxruntime")
HEADER = "onnxruntime_cxx_api.h"
FOLDERS = (os.environ.get("ONNXRUNTIME_INCLUDE"), "/usr/include/onnxruntime", "/usr/include")
INCLUDE = next((Path(folder) for folder in FOLDERS if folder and Path(folder, HEADER).exists()), None)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, compiled as its first lines say."""
    folder = tmp_path_factory.mktemp("cpp")
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    source, flags = ROOT / "examples" / "cpp" / "policy.cpp", ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
    places = ["-isystem", str(INCLUDE), f"-L{folder}", "-lonnxruntime", f"-Wl,-rpath,{folder}"]
    subprocess.run(["g++", *flags, str(source), *places, "-o", str(folder / "policy")], check=True)
    return folder / "policy"


def actions_of(program, path, observations):
    """``[T, A]``: the actions of the program for observations, one after the other."""
    lines = [" ".join(map(repr, row.tolist())) for row in observations]
    ran = subprocess.run([program, path], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return np.array([[float(x) for x in line.split()] for line in ran.stdout.splitlines()])


needs = pytest.mark.skipif(not (shutil.which("g++") and INCLUDE), reason="needs g++ and onnxruntime's headers")


@needs
@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_it_acts_as_the_agent_of_the_zoo(program, name):
    policy = proximax.load(f"zoo:{name}")
    space = policy.observation_space
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(500, *space.shape)).astype(np.float32)
    expected = np.stack([np.atleast_1d(action) for action in policy.act(observations)])
    np.testing.assert_allclose(
        actions_of(program, f"{ROOT}/proximax/zoo/{name}.onnx", observations), expected, atol=1e-5
    )


@needs
@pytest.mark.slow
@pytest.mark.process
def test_it_remembers_as_the_agent_does(program, tmp_path):
    policy = agent(network="gru")
    path = export_agent(policy, tmp_path / "memory.onnx", check=3)
    policy.reset()
    observations = np.random.default_rng(0).normal(size=(50, *policy.observation_space.shape)).astype(np.float32)
    expected = [np.atleast_1d(policy.act(obs)) for obs in observations]
    np.testing.assert_allclose(actions_of(program, path, observations), expected, atol=1e-5)


def test_the_page_shows_how_it_is_compiled():
    line = next(line for line in (ROOT / "examples/cpp/policy.cpp").read_text().splitlines() if "g++" in line)
    assert line.removeprefix("//").strip() in (ROOT / "docs/guides/deploy.md").read_text()
