"""Pong from pixels by ALE, acting and learning on the GPU, until the mean of 40 training games is 18.

python benchmarks/gpu/pong.py [--toy]

Then the emulator alone, with as many games at once: what share of its steps per second the whole training reaches.
"""

import argparse
import json
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

import proximax
from proximax.envs import env_options, make_env

ENV, GAMES, GOAL = "ALE/Pong-v5", 40, 18.0


class Progress:
    """A callback that stops at the goal, or when there is no time left."""

    def __init__(self, began: float, seconds: float) -> None:
        self.began, self.seconds = began, seconds
        self.games: deque[float] = deque(maxlen=GAMES)
        self.times: list[tuple[int, float]] = []
        self.best, self.reached = -21.0, False

    def __call__(self, rows: Any) -> bool:
        row, now = rows[0], time.perf_counter() - self.began
        self.times.append((row["steps"], now))
        self.games.extend([row["episode_return"]] * int(row["episodes"]))
        if len(self.games) == GAMES:
            self.best = max(self.best, float(np.mean(self.games)))
        self.reached = self.best >= GOAL
        return self.reached or now > self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="a few updates")
    toy = parser.parse_args().toy
    progress = Progress(time.perf_counter(), seconds=130.0)
    settings: dict[str, Any] = {"eval_episodes": 1, "quiet": True, **({"steps": 4096} if toy else {})}
    with tempfile.TemporaryDirectory() as folder:
        result = proximax.train(ENV, callbacks=[progress], out=Path(folder) / "run", **settings)
    tenth = len(progress.times) // 10
    steps, seconds = np.transpose(progress.times[tenth:])
    pace = float(np.polyfit(seconds, steps, 1)[0])
    ceiling = emulator_alone(result.config, 50 if toy else 2000)
    values = {
        "num_envs": result.config.num_envs,
        "reached_18": progress.reached,
        "steps": progress.times[-1][0],
        "seconds": progress.times[-1][1],
        "best_mean_of_40": progress.best,
        "compile_s": result.compile_s,
        "steps_per_s": pace,
        "emulator_steps_per_s": ceiling,
        "share_of_emulator": pace / ceiling,
    }
    print(json.dumps(values | {"finished_at": time.time()}))


def emulator_alone(config: proximax.RunConfig, steps: int) -> float:
    """Environment steps per second of the games with random actions and nothing else."""
    env = make_env(config.env, config.num_envs, **env_options(config))
    env.reset(range(config.num_envs))
    rng = np.random.default_rng(0)
    actions = rng.integers(0, env.action_space.n, (steps, config.num_envs))
    began = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - began
    env.close()
    return steps * config.num_envs / seconds


if __name__ == "__main__":
    main()
