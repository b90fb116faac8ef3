"""Record the runs of presets at which ``proximax doctor`` must find nothing: ``python tests/data/record_healthy.py``.

Three quarters of an hour on 2 cores. Each is a real run of the preset, most at fewer steps; of its rows as many are
kept as ``ROWS`` says, evenly, with the metrics that a check reads.
"""

import inspect
import json
import re
from pathlib import Path

import proximax
from proximax.doctor import checks

HEALTHY = Path(__file__).parent / "healthy"
ROWS = 40  # of each run, the first and the last among them
RUNS = {
    "cartpole": ("CartPole-v1", {"seeds": 2}),
    "acrobot": ("Acrobot-v1", {}),
    "pendulum": ("Pendulum-v1", {"steps": 200_000}),
    "mountain-car-continuous": ("MountainCarContinuous-v0", {"seeds": 2}),
    "lunar-lander": ("LunarLander-v3", {"steps": 400_000}),
    "half-cheetah": ("HalfCheetah-v5", {"steps": 120_000}),
    "hopper": ("Hopper-v5", {"steps": 120_000}),
    "walker2d": ("Walker2d-v5", {"steps": 120_000}),
    "minatar-breakout": ("gymnax:Breakout-MinAtar", {"steps": 819_200}),
    "pong": ("ALE/Pong-v5", {"steps": 40_960, "eval_episodes": 1}),
    "atari": ("ALE/Breakout-v5", {"preset": "atari", "steps": 40_960, "eval_episodes": 2}),
    "breakout": ("ALE/Breakout-v5", {"eval_episodes": 30}),
    "pong-reinforce": ("ALE/Pong-v5", {"preset": "pong-reinforce", "eval_episodes": 30}),
}
READ = {"update", "seed", "steps", *re.findall(r'"([a-z_]+)"', inspect.getsource(checks))}


def main() -> None:
    """Train and keep all of them."""
    for name, (env, settings) in RUNS.items():
        keep(name, proximax.train(env, **{"eval_episodes": 10, **settings}))


def keep(name: str, result: proximax.Result) -> None:
    """Write a run's config and some of its rows."""
    directory = HEALTHY / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(result.config.to_json(), indent=1) + "\n")
    last = result.history[-1]["update"]
    updates = {1 + round(i * (last - 1) / (ROWS - 1)) for i in range(ROWS)}
    rows = [row for row in result.history if row["update"] in updates]
    short = [{key: rounded(x) for key, x in row.items() if key in READ} for row in rows]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short))


def rounded(x: float | None) -> float | None:
    """To four digits."""
    return float(f"{x:.4g}") if isinstance(x, float) else x


if __name__ == "__main__":
    main()
