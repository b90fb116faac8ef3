"""Whether a script of Stable-Baselines3 that is migrated by docs/guides/migrate.md gives the same learning curve.

python benchmarks/learning/migration.py --peer .peers/sb3/bin/python

Pendulum-v1, three seeds on each side, 200,000 steps: the settings of the page's script, without its evaluations. The
training returns of the latest 100 episodes. Writes results/learning/migration.json and migration.md (10 minutes).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULT = HERE.parent / "results" / "learning" / "migration.json"
STEPS, SEEDS = 200_000, 3
SHOWN = (24_576, 49_152, 73_728, 98_304, 147_456, 196_608)
HEAD = """# A script of Stable-Baselines3, migrated

Made by `python benchmarks/learning/migration.py`, whose docstring has the details (stable-baselines3 2.9.2). Training
returns of the latest 100 episodes of Pendulum-v1, lowest to highest of three seeds.

"""
Curves = dict[str, list[tuple[int, float | None]]]


def main() -> None:
    """Train both, then write the results; with ``--theirs`` only print those of Stable-Baselines3."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python with stable-baselines3")
    parser.add_argument("--theirs", action="store_true", help="print the curves of stable-baselines3 as JSON")
    options = parser.parse_args()
    if options.theirs:
        print(json.dumps(stable_baselines()))
        return
    output = subprocess.run([options.peer, __file__, "--theirs"], check=True, capture_output=True, text=True).stdout
    RESULT.write_text(json.dumps({"Stable-Baselines3": json.loads(output), "proximax": proximax_curves()}) + "\n")
    write()


def stable_baselines() -> Curves:
    """(steps, return) of each seed after each rollout."""
    import numpy as np
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    class Returns(BaseCallback):
        def _on_training_start(self) -> None:
            self.curve: list[tuple[int, float | None]] = []

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            latest = [episode["r"] for episode in self.model.ep_info_buffer or ()]
            self.curve.append((self.num_timesteps, float(np.mean(latest)) if latest else None))

    torch.set_num_threads(1)
    curves: Curves = {}
    for seed in range(SEEDS):
        env = make_vec_env("Pendulum-v1", n_envs=8, seed=seed)
        returns = Returns()
        settings: dict[str, Any] = {"n_steps": 256, "batch_size": 128, "n_epochs": 10, "gamma": 0.9, "gae_lambda": 0.95}
        settings |= {"clip_range": 0.2, "ent_coef": 0.0, "vf_coef": 0.5, "max_grad_norm": 0.5, "seed": seed}
        settings |= {"policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}}, "device": "cpu"}
        normalised = VecNormalize(env, norm_obs=True, norm_reward=True, gamma=0.9)
        model = PPO("MlpPolicy", normalised, learning_rate=lambda remaining: 1e-3 * remaining, **settings)
        model.learn(STEPS, callback=returns)
        curves[str(seed)] = returns.curve
    return curves


def proximax_curves() -> Curves:
    """The same here."""
    import proximax

    settings: dict[str, Any] = {"num_envs": 8, "num_steps": 256, "minibatch_size": 128, "epochs": 10, "gamma": 0.9}
    settings |= {"learning_rate": 1e-3, "lam": 0.95, "epsilon": 0.2, "value_coef": 1.0, "hidden": (64, 64)}
    result = proximax.train("Pendulum-v1", preset="none", steps=STEPS, seeds=SEEDS, quiet=True, **settings)
    rows = [(str(row["seed"]), row["steps"], row["return_last_100"]) for row in result.history]
    return {str(seed): [(steps, value) for s, steps, value in rows if s == str(seed)] for seed in range(SEEDS)}


def write() -> None:
    """The page, from the results."""
    results = json.loads(RESULT.read_text())
    text = HEAD
    text += "| steps | " + " | ".join(results) + " |\n|--:|" + "---|" * len(results) + "\n"
    for steps in SHOWN:
        cells = []
        for curves in results.values():
            values = sorted(next(value for at, value in curve if at >= steps) for curve in curves.values())
            cells.append(f"{values[0]:.0f} to {values[-1]:.0f}")
        text += f"| {steps:,} | " + " | ".join(cells) + " |\n"
    (HERE / "migration.md").write_text(text)


if __name__ == "__main__":
    main()
