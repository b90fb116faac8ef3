"""How much faster several processes train than one, and what an exchange between them costs.

python benchmarks/speed/processes.py            # 8 minutes on 2 cores that do nothing else

HalfCheetah-v5 with two shards: one process on one core, two processes on a core each, and one process on both cores;
in turn, each three times. Steps per second are the slope of steps against time after the first tenth of a run. Then
gradients of several sizes are gathered between two processes, as an update does for every minibatch, and the parts of
an update are timed alone, of an MLP on HalfCheetah-v5 and of a CNN on Pong: environments with acting, and learning.
From these follow the predictions of docs/guides/scaling.md, one of which is checked.
Writes results/speed/processes.json, processes.png and processes.md.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from proximax import AtariConfig, PPOConfig, RunConfig
from proximax.distributed import join
from proximax.envs import env_options, make_env
from proximax.policy import make_policy
from proximax.ppo import HostMultiSeedLearner, make_multi_seed_learner
from proximax.runtime import gather_shards, map_over_shards, place_whole

HERE = Path(__file__).parent
RECORD = HERE.parent / "results" / "speed" / "processes.json"
SETTINGS = ["--shards", "2", "--num-envs", "16", "--ppo.num-steps", "256", "--ppo.minibatch-size", "256"]
SETTINGS += ["--ppo.epochs", "4", "--preset", "none", "--eval-episodes", "1", "--quiet", "--checkpoint-every", "end"]
CASES = {"1 process, 1 core": [{0}], "2 processes, 1 core each": [{0}, {1}], "1 process, 2 cores": [{0, 1}]}
SIZES = (10_000, 100_000, 1_700_000)  # parameters: a small MLP, a large one, the Nature CNN
OWN_WIRE, WEEK = "this machine (gloo over loopback)", 7 * 86_400.0
FAILURES = ((60, 30), (600, 120))  # seconds between checkpoints, seconds until training continues
MACHINES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]


def together(line: list[str], cores: list[set[int]]) -> list[str]:
    """Run a command as one process for each set of cores; the last line that each of them prints."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    processes = []
    for rank, mine in enumerate(cores):
        place = {"PROXIMAX_RANK": str(rank), "PROXIMAX_SIZE": str(len(cores)), "PROXIMAX_COORDINATOR": address}
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", **place}
        pinned = ["taskset", "-c", ",".join(map(str, sorted(mine))), *line]
        processes.append(subprocess.Popen(pinned, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{' '.join(line)}: exit codes {[process.returncode for process in processes]}")
    return [output.strip().splitlines()[-1] if output.strip() else "" for output in outputs]


def steps_per_second(cores: list[set[int]], steps: int) -> float:
    """Of one run: the slope of its steps against its time after the first tenth."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        line = [sys.executable, "-m", "proximax.cli", "train", "HalfCheetah-v5", *SETTINGS, "--steps", str(steps)]
        together([*line, "--out", str(out)], cores)
        rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    later = rows[max(1, len(rows) // 10) :]
    return float(np.polyfit([row["time_s"] for row in later], [row["steps"] for row in later], 1)[0])


def exchange_seconds(sizes: tuple[int, ...]) -> dict[str, float]:
    """Seconds to gather so many numbers between two processes and add them, once, in a compiled loop."""
    line = [sys.executable, str(Path(__file__).resolve()), "--exchange", *map(str, sizes)]
    return json.loads(together(line, [{0}, {1}])[0])


def gather_often(rounds: int, x: jax.Array) -> jax.Array:
    """``x`` of both shards gathered and averaged, so many times, each after the other."""
    return jax.lax.fori_loop(0, rounds, lambda _, x: jnp.mean(gather_shards(x, 2), axis=0), x)


def time_exchanges(sizes: list[int]) -> None:
    """What each process of ``exchange_seconds`` does."""
    join(2)
    seconds, everywhere = {}, PartitionSpec()
    for size in sizes:
        rounds = max(10, 2_000_000 // size)
        program = jax.jit(map_over_shards(partial(gather_often, rounds), 2, (everywhere,), everywhere))
        x = place_whole(np.ones(size, np.float32), everywhere, 2)
        times = []
        for _ in range(6):
            began = time.perf_counter()
            jax.block_until_ready(program(x))
            times.append((time.perf_counter() - began) / rounds)
        seconds[str(size)] = statistics.median(times[1:])
    print(json.dumps(seconds), flush=True)


def update_parts(env_id: str, network: str, steps: int, updates: int) -> dict[str, Any]:
    """Seconds of each update's rollout, and the median of learning, of one shard's 8 environments on one core."""
    os.sched_setaffinity(0, {0})
    ppo = PPOConfig(num_steps=steps, minibatch_size=128, epochs=4)
    atari = AtariConfig() if env_id.startswith("ALE/") else None
    config = RunConfig(env_id, num_envs=8, steps=8 * steps * updates, network=network, ppo=ppo, atari=atari)
    env = make_env(config.env, 8, **env_options(config))
    policy = make_policy(env.observation_space, env.action_space, ppo, network)
    learner = make_multi_seed_learner(env, policy, config)
    assert isinstance(learner, HostMultiSeedLearner)
    state, _ = learner.advance(learner.init(), 1)
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    rollouts, learning = [], []
    for _ in range(updates):
        began = time.perf_counter()
        rollout, transitions, _ = learner.learner.collect(state)
        middle = time.perf_counter()
        learned, _ = learner.learner.learn(state, transitions)
        state = learned._replace(rollout=rollout)
        float(state.update[0])  # wait
        rollouts.append(middle - began)
        learning.append(time.perf_counter() - middle)
    env.close()
    timed = {"rollout_s": rollouts, "learning_s": statistics.median(learning)}
    return timed | {"gradient_steps": 4 * 8 * steps // 128, "parameters": parameters}


def fit(seconds: dict[str, float]) -> tuple[float, float]:
    """(seconds, seconds per byte) of an exchange: a straight line through those that were measured."""
    sizes, times = np.array([4 * int(size) for size in seconds]), np.array(list(seconds.values()))
    per_byte, latency = np.polyfit(sizes, times, 1, w=1 / times)
    return max(float(latency), 0.0), float(per_byte)


def predict(parts: dict[str, Any], wire: tuple[float, float]) -> list[float]:
    """Seconds of an update on each number of ``MACHINES``, every one with as many environments as one has.

    An update of k machines waits for the slowest rollout among them, drawn from those that were measured, learns, and
    exchanges the gradient for each gradient step: each machine receives those of the k - 1 others, (k - 1) x bytes over
    its wire, in log2(k) exchanges. ``wire``: (seconds of an exchange, seconds per byte).
    """
    rng, rollouts, seconds = np.random.default_rng(0), np.array(parts["rollout_s"]), []
    for machines in MACHINES:
        slowest = rng.choice(rollouts, (400, machines)).max(axis=1).mean()
        exchange = wire[0] * np.log2(machines) + wire[1] * 4 * parts["parameters"] * (machines - 1)
        seconds.append(float(slowest + parts["learning_s"] + parts["gradient_steps"] * exchange))
    return seconds


def kept(machines: int, checkpoint_s: float, restart_s: float, days: float = 60.0) -> float:
    """The share of its time that a group keeps whose machines fail once a ``WEEK`` each, at random; simulated.

    A failure costs what was done since the newest checkpoint, and a start; another may follow while it starts.
    """
    rng, end = np.random.default_rng(machines), days * 86_400
    clock = useful = 0.0
    while clock < end:
        until_failure = rng.exponential(WEEK / machines)
        useful += until_failure // checkpoint_s * checkpoint_s
        clock += until_failure + restart_s
    return useful / clock


def main() -> None:
    """All measurements, then picture and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120_000, help="of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exchange", type=int, nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--page", action="store_true", help="only draw and write again what was measured")
    options = parser.parse_args()
    if options.exchange:
        time_exchanges(options.exchange)
        return
    if not options.page:
        speeds: dict[str, list[float]] = {case: [] for case in CASES}
        for turn in range(options.repeats):
            for case in list(CASES)[:: 1 if turn % 2 == 0 else -1]:
                speeds[case].append(steps_per_second(CASES[case], options.steps))
                print(case, round(speeds[case][-1]), flush=True)
        parts = {"MLP": update_parts("HalfCheetah-v5", "auto", 256, 40)}
        parts["CNN"] = update_parts("ALE/Pong-v5", "nature", 128, 8)
        record = {"steps_per_s": speeds, "exchange_s": exchange_seconds(SIZES), "parts": parts}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    record = json.loads(RECORD.read_text())
    wires = {OWN_WIRE: fit(record["exchange_s"]), "25 Gbit/s, 50 us": (50e-6, 8 / 25e9)}
    updates = {
        f"{network}, {parts['parameters']:,} parameters; {wire}": predict(parts, seconds)
        for network, parts in record["parts"].items()
        for wire, seconds in wires.items()
    }
    failures = {f"checkpoint every {c} s, restart {r} s": [kept(k, c, r) for k in MACHINES] for c, r in FAILURES}
    draw({name: [times[0] / t for t in times] for name, times in updates.items()}, failures)
    (HERE / "processes.md").write_text(page(record, updates, failures, wires))


def draw(shares: dict[str, list[float]], failures: dict[str, list[float]]) -> None:
    """Predicted efficiency against the number of machines, and what failures leave of it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), sharey=True, constrained_layout=True)
    for (name, values), style in zip(shares.items(), ("C0-", "C0--", "C1-", "C1--"), strict=True):
        left.plot(MACHINES, values, style, marker="o", markersize=3.5, label=name)
    for (name, values), style in zip(failures.items(), ("C2-", "C3-"), strict=True):
        right.plot(MACHINES, values, style, marker="o", markersize=3.5, label=name)
    left.set_ylabel("predicted share of perfect speed-up")
    left.set_title("exchange and stragglers", fontsize=10)
    right.set_title("share of time kept, each machine failing once a week", fontsize=10)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(MACHINES, map(str, MACHINES), fontsize=8)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("machines, each with environments of its own")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    figure.savefig(RECORD.with_suffix(".png"), dpi=110)


def page(
    record: dict[str, Any],
    updates: dict[str, list[float]],
    failures: dict[str, list[float]],
    wires: dict[str, tuple[float, float]],
) -> str:
    """What was measured, what it predicts, and one prediction beside what was measured."""
    speeds, parts = record["steps_per_s"], record["parts"]
    medians = {case: statistics.median(values) for case, values in speeds.items()}
    one, (latency, per_byte) = medians["1 process, 1 core"], wires[OWN_WIRE]
    predicted = next(times for name, times in updates.items() if name.startswith("MLP") and OWN_WIRE in name)
    measured = [4096 / medians[case] for case in ("1 process, 1 core", "2 processes, 1 core each")]
    text = f"""# Several processes

`python benchmarks/speed/processes.py`, {os.cpu_count()} cores, {platform.system()} {platform.machine()}.
HalfCheetah-v5 by Gymnasium, two shards, 16 x 256, minibatches of 256, 4 epochs. Medians of
{len(speeds["1 process, 1 core"])} runs each, in turn; steps/s after the first tenth. Only ratios count.

| what | steps/s | least and most | ratio |
|---|--:|--:|--:|
"""
    for case, values in speeds.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        text += f"| {case} | {medians[case]:,.0f} | {spread} | {medians[case] / one:.2f} |\n"
    text += "\nGathering and adding up so many numbers between two processes, a core each, once:\n\n"
    text += "| numbers | ms |\n|--:|--:|\n"
    text += "".join(f"| {int(size):,} | {1e3 * s:.2f} |\n" for size, s in record["exchange_s"].items())
    text += f"\nA line through them: {1e6 * latency:.0f} us and {1e-9 / per_byte:.2f} GB/s.\n"
    text += "\nOne shard of 8 environments alone, on one core:\n\n"
    text += "| network | parameters | rollout | deviation | learning | gradient steps |\n|---|--:|--:|--:|--:|--:|\n"
    for network, part in parts.items():
        rollouts, learning = np.array(part["rollout_s"]), part["learning_s"]
        times = f"{1e3 * rollouts.mean():.0f} ms | {1e3 * rollouts.std():.0f} ms | {1e3 * learning:.0f} ms"
        text += f"| {network} | {part['parameters']:,} | {times} | {part['gradient_steps']} |\n"
    text += f"""
## The model against the measurement

An update of the MLP on two processes: predicted {1e3 * predicted[1]:.0f} ms, measured {1e3 * measured[1]:.0f} ms;
both shards one after the other on one core: predicted {2e3 * predicted[0]:.0f} ms, measured {1e3 * measured[0]:.0f} ms.

## What the model says

Share of perfect speed-up ([the model](../../docs/guides/scaling.md)); below it the share of time that is kept where
each machine fails once a week.

| machines | {" | ".join(map(str, MACHINES))} |
|---|{"--:|" * len(MACHINES)}
"""
    for name, times in updates.items():
        text += f"| {name} | {' | '.join(f'{times[0] / t:.2f}' for t in times)} |\n"
    for name, shares in failures.items():
        text += f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |\n"
    return text + "\n![what the model says](../results/speed/processes.png)\n"


if __name__ == "__main__":
    main()
