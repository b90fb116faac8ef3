"""The algorithms from REINFORCE to PPO compared: trains them, records, draws, fills the tables of the overview page.

python benchmarks/learning/algorithm_family.py               all three comparisons (about half an hour on 2 cores)
python benchmarks/learning/algorithm_family.py cartpole      one of them
python benchmarks/learning/algorithm_family.py --draw        images and tables from the recorded files
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import proximax
from proximax.reports import draw_returns, draw_updates, score_table

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "learning" / "algorithm_family"
DOCS = HERE.parents[1] / "docs"
PAGE = DOCS / "algorithms" / "overview.md"
IMAGES = DOCS / "images"
REINFORCE = {
    "algo": "reinforce",
    "baseline": False,
    "standardise_advantage": False,
    "scale_reward": False,
}
# name: (environment, seeds, what is compared)
COMPARISONS = {
    "reinforce": (
        "CartPole-v1",
        8,
        {
            "total": REINFORCE | {"advantage": "total"},
            "to-go": REINFORCE | {"advantage": "to-go"},
            "normalised": REINFORCE | {"advantage": "to-go", "standardise_advantage": True},
            "baseline": REINFORCE | {"advantage": "to-go", "standardise_advantage": True, "baseline": True},
        },
    ),
    "cartpole": ("CartPole-v1", 8, ["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip"]),
    "half-cheetah": ("HalfCheetah-v5", 3, ["trpo", "surrogate", "penalty", "clip"]),
}


def record(name: str) -> None:
    """Train one comparison and keep what its images and table need."""
    env, seeds, algos = COMPARISONS[name]
    with tempfile.TemporaryDirectory() as directory:
        comparison = proximax.compare(env, algos, seeds=seeds, out=directory, quiet=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(comparison, separators=(",", ":")) + "\n")


def draw(name: str) -> None:
    """The images of one recorded comparison, and its table in the overview page between two marks."""
    comparison = json.loads((RESULTS / f"{name}.json").read_text())
    IMAGES.mkdir(exist_ok=True)
    draw_returns(comparison, IMAGES / f"algorithm-family-{name}-returns.png")
    if name != "reinforce":
        draw_updates(comparison, IMAGES / f"algorithm-family-{name}-updates.png")
    rows = "\n".join(score_table(comparison["runs"]))
    begin, end = f"<!-- table {name}: made by benchmarks/learning/algorithm_family.py -->\n", "<!-- end -->"
    page, found = re.subn(
        f"{re.escape(begin)}.*?{end}", lambda _: begin + rows + "\n" + end, PAGE.read_text(), flags=re.S
    )
    assert found == 1, f"the overview page has no place for the table of {name}"
    PAGE.write_text(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", nargs="*", metavar="COMPARISON", help=", ".join(COMPARISONS))
    parser.add_argument("--draw", action="store_true", help="train nothing: images and tables only")
    options = parser.parse_args()
    names = options.comparisons or list(COMPARISONS)
    if options.draw:
        names = [name for name in COMPARISONS if (RESULTS / f"{name}.json").exists()]
    else:
        for name in names:
            record(name)
    for name in names:
        draw(name)


if __name__ == "__main__":
    main()
