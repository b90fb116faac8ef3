"""An update on the GPU alone, without the trainer: how long it takes and compiles, and where its time goes.

python benchmarks/gpu/update_time.py cartpole | breakout | seeds [--toy]

The share of time in which a kernel runs, the number of kernels and the longest of them are from a trace of three
updates. ``XLA_FLAGS`` and ``JAX_DEFAULT_MATMUL_PRECISION`` change how it is compiled:
``XLA_FLAGS="--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"`` gives the same bits in every process.
"""

import argparse
import gzip
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import jax

from proximax.config import PPOConfig, RunConfig
from proximax.envs import make_env
from proximax.policy import make_policy
from proximax.ppo import MAX_UPDATES_PER_CALL, MultiSeedLearner, make_multi_seed_learner
from proximax.types import TrainState

# environment, environments, seeds, minibatch size: the comparisons of kit.py
WORKLOADS = {
    "cartpole": ("gymnax:CartPole-v1", 2048, 1, 65536),
    "breakout": ("gymnax:Breakout-MinAtar", 64, 1, 1024),
    "seeds": ("gymnax:CartPole-v1", 4, 256, 128),
}
UPDATES, REPEATS, TRACED, KERNELS = min(32, MAX_UPDATES_PER_CALL), 5, 3, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--toy", action="store_true", help="few environments and seeds")
    options = parser.parse_args()
    learner = make_learner(options.workload, options.toy)
    began = time.perf_counter()
    state = learner.init()
    initialised = time.perf_counter()
    learner.advance(state, 1)
    compiled = time.perf_counter()
    values = {
        "init_s": initialised - began,
        "compile_s": compiled - initialised,
        "update_ms": statistics.median(milliseconds(learner, state) for _ in range(REPEATS)),
        **trace(learner, state),
    }
    print(json.dumps(values | {"finished_at": time.time()}))


def make_learner(workload: str, toy: bool) -> MultiSeedLearner:
    """The learner of a workload, as ``proximax.train`` makes it."""
    env_id, num_envs, seeds, minibatch_size = WORKLOADS[workload]
    if toy:
        num_envs, seeds, minibatch_size = min(num_envs, 8), min(seeds, 4), 128
    ppo = PPOConfig(num_steps=128, epochs=4, minibatch_size=minibatch_size, value_epsilon=0.2, entropy_coef=0.01)
    config = RunConfig(env=env_id, preset="none", num_envs=num_envs, seeds=seeds, network="mlp", ppo=ppo)
    env = make_env(env_id, num_envs, groups=seeds)
    policy = make_policy(env.observation_space, env.action_space, ppo, "mlp")
    return make_multi_seed_learner(env, policy, config)


def milliseconds(learner: MultiSeedLearner, state: TrainState) -> float:
    """Of one update, over many in one call."""
    began = time.perf_counter()
    jax.block_until_ready(learner.advance(state, UPDATES))
    return (time.perf_counter() - began) / UPDATES * 1e3


def trace(learner: MultiSeedLearner, state: TrainState) -> dict[str, Any]:
    """What a trace of a few updates says of the GPU's kernels; nothing without a GPU."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(learner.advance(state, TRACED))
        with gzip.open(next(Path(folder).rglob("*.trace.json.gz")), "rt") as file:
            return summarise(json.load(file)["traceEvents"])


def summarise(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The kernels in the events of a trace: those on a stream of a device."""
    devices = {x["pid"] for x in events if x.get("name") == "process_name" and "GPU" in x["args"]["name"]}
    streams = {(x["pid"], x["tid"]) for x in events if x.get("name") == "thread_name" and "Stream" in x["args"]["name"]}
    kernels = [x for x in events if x.get("ph") == "X" and x["pid"] in devices and (x["pid"], x["tid"]) in streams]
    if not kernels:
        return {}
    total: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for kernel in kernels:
        total[kernel["name"]] += kernel["dur"]
        count[kernel["name"]] += 1
    span = max(x["ts"] + x["dur"] for x in kernels) - min(x["ts"] for x in kernels)
    longest = sorted(total, key=lambda name: -total[name])[:KERNELS]
    return {
        "kernels_per_update": len(kernels) / TRACED,
        "busy_share": sum(total.values()) / span,
        "mean_kernel_us": sum(total.values()) / len(kernels),
        "longest": {
            name[:80]: {"share": total[name] / sum(total.values()), "per_update": count[name] / TRACED}
            for name in longest
        },
    }


if __name__ == "__main__":
    main()
