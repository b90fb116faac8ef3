"""What each variant of ``docs/algorithms/variants.md`` changes: trained with the switch and without it, over seeds.

python benchmarks/learning/practice.py --out FOLDER              both environments (half an hour or more on 2 cores)
python benchmarks/learning/practice.py --out FOLDER pendulum     one of them
python benchmarks/learning/practice.py --page                    the page from the recorded files

What FOLDER has already is not trained again, so that an interrupted comparison goes on. Writes
results/learning/practice-NAME.json and practice.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from atari import HERE, RESULTS, machine

import proximax
from proximax.reports import score_table

# The preset pendulum's.
OF_PRESET = {"num_steps": 200, "learning_rate": 1e-3, "gamma": 0.95, "lam": 0.9, "log_std_init": -0.5}
OF_PRESET |= {"normalise_obs": False, "num_envs": 8}
KL = {"target_kl": 0.01, "kl_control": "learning_rate"}
PENDULUM: dict[str, dict[str, Any]] = {
    "none": {},
    "spo": {"algo": "spo"},
    "clip-higher": {"epsilon_high": 0.28},
    "dual-clip": {"dual_clip": 3.0},
    "normalised-values": {"normalise_values": True},
    "unscaled-rewards": {"scale_reward": False},
    "unscaled-rewards-normalised-values": {"scale_reward": False, "normalise_values": True},
    "critic-5-epochs-more": {"value_epochs": 5},
    "adapted-rate": KL,
    "adapted-rate-narrow-band": KL | {"kl_band": 1.2},
    "layer-norm": {"layer_norm": True},
    "binned": {"box_distribution": "binned"},
    "ordinal": {"box_distribution": "ordinal"},
}
CHEETAH = ("none", "spo", "normalised-values", "layer-norm", "binned", "ordinal")
# name: (environment, seeds, settings, variants)
COMPARISONS: dict[str, tuple[str, int, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "pendulum": ("gymnax:Pendulum-v1", 5, {"steps": 100_000} | OF_PRESET, PENDULUM),
    "half-cheetah": ("HalfCheetah-v5", 5, {"steps": 100_000}, {name: PENDULUM[name] for name in CHEETAH}),
}
KEPT = ("label", "returns", "mean", "ci95", "iqm", "steps", "wall_s", "kl_percentiles", "stopped_by")
HEAD = """# Variants with and without their switch

`python benchmarks/learning/practice.py`, {machine}. The settings of the environment's preset, a
shorter run, and one switch each.
Returns are those of the last policy, 100 deterministic episodes for each seed. Five seeds tell effects of one or two
standard deviations from chance, and no smaller ones: where intervals overlap, read "no difference seen". *Wall* is for
all seeds side by side, measured while other programs ran. What they are:
[variants.md](../../docs/algorithms/variants.md).
"""


def main() -> None:
    """Train what is asked for, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", nargs="*", metavar="COMPARISON", help=", ".join(COMPARISONS))
    parser.add_argument("--variants", nargs="+", help="these alone; others of the page are then left out")
    parser.add_argument("--out", type=Path, help="folder of the runs")
    parser.add_argument("--page", action="store_true", help="train nothing: the page only")
    options = parser.parse_args()
    if not options.page:
        for name in options.comparisons or COMPARISONS:
            record(name, options.out or Path("practice"), options.variants)
    (HERE / "practice.md").write_text(page())


def record(name: str, out: Path, only: list[str] | None = None) -> None:
    """Train one comparison, and keep its scores."""
    env, seeds, settings, variants = COMPARISONS[name]
    variants = {label: own for label, own in variants.items() if only is None or label in only}
    comparison = proximax.compare(env, variants, seeds=seeds, out=out / name, quiet=True, **settings)
    runs = [{key: run[key] for key in KEPT} for run in comparison["runs"]]
    kept = {"env": env, "seeds": seeds, "settings": settings, "variants": variants, "machine": machine(), "runs": runs}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"practice-{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def page() -> str:
    """The tables of what is recorded."""
    found = {name: RESULTS / f"practice-{name}.json" for name in COMPARISONS}
    results = [json.loads(path.read_text()) for path in found.values() if path.exists()]
    text = [HEAD.format(machine=results[0]["machine"])]
    for result in results:
        text += [f"## {result['env']}, {result['settings']['steps']:,} steps", "", *score_table(result["runs"]), ""]
    return "\n".join(text)


if __name__ == "__main__":
    main()
