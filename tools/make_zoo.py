"""Make the policies that come with proximax: ``python tools/make_zoo.py``, 40 minutes on two cores.

For each environment: ``proximax train ENV`` with its preset and seed 0 (the only one: none is chosen), the last
checkpoint exported to ``proximax/zoo/ENV.onnx``, that file evaluated on new episodes, and ``ENV.json`` beside it: what
it scores and how it was made. Runs that are there already, below ``--runs``, are not trained again.
"""

import argparse
import json
from pathlib import Path

import proximax
from proximax.evaluation import mean_interval
from proximax.exporting import read_exported
from proximax.runtime import proximax_version

ENVS = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0", "LunarLander-v3")
FOLDER = Path(proximax.__file__).parent / "zoo"
EPISODES, EVALUATION = 1000, 1  # episodes of the score, and their seed: not those of the run's own evaluation


def main() -> None:
    """Make all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("envs", nargs="*", default=ENVS)
    parser.add_argument("--runs", type=Path, default=Path("runs/zoo"))
    options = parser.parse_args()
    for env in options.envs:
        run = options.runs / env
        if not (run / "result.json").exists():
            proximax.train(env, out=run, resume="auto", quiet=True)
        card = make(env, run)
        print(f"{env}: {card['mean']:.1f} ({card['ci95'][0]:.1f} to {card['ci95'][1]:.1f}), {card['bytes']:,} bytes")


def make(env: str, run: Path) -> dict[str, object]:
    """Export one run, evaluate the file, write its card; gives the card."""
    path = proximax.export(run, FOLDER / f"{env}.onnx", output="parameters")
    returns = proximax.evaluate(path, EPISODES, seed=EVALUATION).returns[0]
    low, high = mean_interval(returns)
    about = read_exported(path).about
    card = {
        "env": env,
        "mean": round(float(returns.mean()), 2),
        "ci95": [round(low, 2), round(high, 2)],
        "episodes": EPISODES,
        "evaluate": f"proximax eval zoo:{env} --episodes {EPISODES} --seed {EVALUATION}",
        "train": f"proximax train {env}",
        "preset": about["config"]["preset"],
        "steps": about["steps"],
        "seed": about["seed"],
        "bytes": path.stat().st_size,
        "proximax": proximax_version(),
        "config_sha256": about["config_sha256"],
        "settings": about["config"],
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return card


if __name__ == "__main__":
    main()
