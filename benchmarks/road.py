"""The road from REINFORCE to PPO in numbers: trains each step of it, records, draws, fills the tables of docs/road.md.

python benchmarks/road.py                      all three comparisons (about half an hour on 2 cores)
python benchmarks/road.py cartpole             one of them
python benchmarks/road.py --draw               pictures and tables from the recorded files
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import proximax
from proximax.reports import draw_returns, draw_updates, table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "road"
PAGE = HERE.parent / "docs" / "road.md"
PICTURES = HERE.parent / "docs" / "pictures"
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
    """Train one comparison and keep what its pictures and table need."""
    env, seeds, algos = COMPARISONS[name]
    with tempfile.TemporaryDirectory() as directory:
        comparison = proximax.compare(env, algos, seeds=seeds, out=directory, quiet=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(comparison, separators=(",", ":")) + "\n")


def draw(name: str) -> None:
    """The pictures of one recorded comparison, and its table in docs/road.md between two marks."""
    comparison = json.loads((RESULTS / f"{name}.json").read_text())
    PICTURES.mkdir(exist_ok=True)
    draw_returns(comparison, PICTURES / f"road-{name}-returns.png")
    if name != "reinforce":
        draw_updates(comparison, PICTURES / f"road-{name}-updates.png")
    rows = "\n".join(line for line in table(comparison).splitlines() if line.startswith("|"))
    begin, end = f"<!-- table {name}: made by benchmarks/road.py -->\n", "<!-- end -->"
    page, found = re.subn(
        f"{re.escape(begin)}.*?{end}", lambda _: begin + rows + "\n" + end, PAGE.read_text(), flags=re.S
    )
    assert found == 1, f"docs/road.md has no place for the table of {name}"
    PAGE.write_text(page)


def main() -> None:
    names = sys.argv[1:] or list(COMPARISONS)
    if names == ["--draw"]:
        names = [name for name in COMPARISONS if (RESULTS / f"{name}.json").exists()]
    else:
        for name in names:
            record(name)
    for name in names:
        draw(name)


if __name__ == "__main__":
    main()
