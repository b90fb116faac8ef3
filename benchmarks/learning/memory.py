"""What memory is good for and what it costs: networks with and without it on CartPole-v1 whose velocities are hidden.

python benchmarks/learning/memory.py

Three seeds of each network, then the speed of one seed of each, forwards and backwards: steps/s as the slope of steps
against time after the first tenth. And ``probe:recall``. Writes results/learning/memory.json and memory.md (4 minutes).
"""

import argparse
import json
from typing import Any

import gymnasium
import numpy as np
from atari import HERE, RESULTS, machine

import proximax

NETWORKS = ("mlp", "gru", "lstm", "mingru")
SETTINGS: dict[str, Any] = {"num_envs": 8, "num_steps": 128, "minibatch_size": 256, "epochs": 10, "learning_rate": 1e-3}
SETTINGS |= {"preset": "none", "quiet": True}
RECALL: dict[str, Any] = {"num_envs": 16, "num_steps": 20, "minibatch_size": 80, "epochs": 4, "learning_rate": 3e-3}
RECALL |= {"gamma": 0.9, "hidden": (16,), "recurrent_units": 16, "preset": "none", "quiet": True, "eval_episodes": 50}


class HiddenVelocities(gymnasium.ObservationWrapper[Any, Any, Any]):
    """CartPole-v1 that shows positions alone: of the cart and of the pole."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        space = self.env.observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        self.observation_space = gymnasium.spaces.Box(space.low[[0, 2]], space.high[[0, 2]])

    def observation(self, observation: Any) -> Any:
        """Without the velocities."""
        return observation[[0, 2]]


def main() -> None:
    """Train all, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results: dict[str, Any] = {name: {"steps_per_s": []} for name in NETWORKS}
    for name in NETWORKS:
        for task, env, settings in (
            ("hidden", HiddenVelocities, SETTINGS | {"steps": options.steps}),
            ("recall", "probe:recall", RECALL | {"steps": 24_000}),
        ):
            result = proximax.train(env, network=name, seeds=options.seeds, **settings)
            results[name][task] = np.round(result.evaluation.returns.mean(axis=1), 2).tolist()
    for name in (*NETWORKS, *reversed(NETWORKS)):
        results[name]["steps_per_s"].append(speed(name, options.steps // 2))
    (RESULTS / "memory.json").write_text(json.dumps(results) + "\n")
    how = f"`python benchmarks/learning/memory.py --steps {options.steps} --seeds {options.seeds}`, {machine()}"
    (HERE / "memory.md").write_text(page(results, how))


def speed(network: str, steps: int) -> float:
    """Steps/s of one seed without the first tenth, which compiles."""
    rows = proximax.train(HiddenVelocities, network=network, steps=steps, eval_episodes=2, **SETTINGS).history
    begin, end = rows[len(rows) // 10], rows[-1]
    return round((end["steps"] - begin["steps"]) / (end["time_s"] - begin["time_s"]), 1)


def page(results: dict[str, Any], how: str) -> str:
    """The content of memory.md."""
    lines = [
        "# Memory: what it is good for and what it costs",
        "",
        f"{how}. CartPole-v1 without velocities: final return of each seed. `probe:recall` ({RECALL['num_envs']} "
        "environments, 24,000 steps): the same. Speed: steps/s of the whole training, one seed, relative to `mlp`.",
        "",
        "| `--network` | without velocities | `probe:recall` | speed |",
        "|---|---|---|--:|",
    ]
    base = np.mean(results["mlp"]["steps_per_s"])
    for name, result in results.items():
        hidden, recall = (", ".join(f"{x:g}" for x in result[task]) for task in ("hidden", "recall"))
        lines.append(f"| `{name}` | {hidden} | {recall} | {np.mean(result['steps_per_s']) / base:.2f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
