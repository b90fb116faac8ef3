"""The recorded speeds as a Markdown page, ``speed.md``, and a picture of the ratios.

python benchmarks/speed/report.py [FOLDER]
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from pairs import Ratio, number, pair_ratio
from rows import TARGETS, Row, rows

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "speed"
IMAGE = "../results/speed/speed.png"
OLD_METHOD = "Order A B, A B; steps/s of all updates but the first"  # of records that do not say theirs
BLUE, GREY, ORANGE = "#0072B2", "#999999", "#D55E00"


def load(folder: Path) -> dict[str, Any]:
    """The recorded comparisons by name."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {name: values for name, values in records.items() if "contestants" in values}


def find(results: dict[str, Any], row: Row, name: str) -> Any:
    """The contestant called ``name``, or the best one whose name begins so; None if none finished."""
    known = results.get(row.file, {"contestants": []})["contestants"]
    exact = [c for c in known if c["name"] == name or ("," not in name and c["name"].startswith(f"{name},"))]
    finished = [c for c in exact if row.key in c and (c[row.key]["median"] is not None or row.less)]
    # Like with like: warm against warm, where there is such a contestant.
    finished = [c for c in finished if "warm" not in c["name"] or "warm" in row.ours]
    best = min if row.less else max
    return best(finished, key=lambda c: number(c[row.key]["median"]), default=None)


@dataclass(frozen=True)
class Line:
    """A row with what was measured."""

    row: Row
    ours: dict[str, Any]
    other: dict[str, Any] | None
    ratio: Ratio | None  # more is better with peers

    @property
    def target(self) -> float | None:
        """What it is measured by."""
        return TARGETS[self.row.id]

    @property
    def met(self) -> str:
        """Whether it was met."""
        if self.target is None:
            return "not set"
        value = self.ratio.median if self.ratio else number(self.ours[self.row.key]["median"])
        less = bool(self.row.over) or (self.row.less and not self.row.peers)
        return "met" if (value <= self.target if less else value >= self.target) else "**missed**"


def lines(results: dict[str, Any]) -> list[Line]:
    """All rows that have been measured."""
    found = []
    for row in rows():
        ours, name = find(results, row, row.ours), row.peers or row.over
        other = find(results, row, name) if name else None
        if ours is None or bool(other) != bool(name):
            continue
        ratio = pair_ratio(ours["runs"], other["runs"], row.key, row.less and not row.over) if other else None
        if ratio or not other:
            found.append(Line(row, ours, other, ratio))
    return found


def digits(x: float | None) -> str:
    """Three significant digits or so."""
    if x is None or not math.isfinite(x):
        return "∞"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def spread(values: dict[str, float | None]) -> str:
    """Median, least and most."""
    if digits(values["least"]) == digits(values["most"]):
        return digits(values["median"])
    return f"{digits(values['median'])} ({digits(values['least'])} to {digits(values['most'])})"


def claims(found: list[Line]) -> list[str]:
    """The table of what is claimed."""
    text = [
        "| what | proximax | against | code | ratio | 95 % | target | | command |",
        "|---|--:|--:|---|--:|--:|--:|---|---|",
    ]
    for line in found:
        row, key = line.row, line.row.key
        against = f"{line.other['name']}: {digits(line.other[key]['median'])}" if line.other else ""
        sign = "≤" if row.over or (row.less and not row.peers) else "≥"
        target = f"{sign} {line.target:g}" if line.target is not None else ""
        cells = [row.what, f"{spread(line.ours[key])} {row.unit}".strip(), against, row.code, *ratio_cells(line.ratio)]
        text.append(f"| {' | '.join([*cells, target, line.met])} | `{row.file}.py` |")
    return text


def ratio_cells(ratio: Ratio | None) -> tuple[str, str]:
    """Median, least and most of the pairs; the interval of the median."""
    if ratio is None:
        return "", ""
    interval = f"{digits(ratio.interval[0])} to {digits(ratio.interval[1])}" if ratio.interval else ""
    return spread({"median": ratio.median, "least": ratio.least, "most": ratio.most}), interval


COLUMNS = {
    "steps_per_s": "steps/s",
    "compile_s": "compilation, s",
    "run_s": "training, s",
    "to_goal_s": "to the goal, s",
    "environment_s": "environments alone, s",
    "update_s": "update alone, s",
    "wall_s": "both and acting, s",
    "update_gflops": "update, GFLOP/s",
    "product_64_gflops": "64-wide product, GFLOP/s",
    "product_1024_gflops": "1024³ product, GFLOP/s",
    "share_of_1024": "share of the latter",
    "return": "return, evaluated",
    "training_return": "return, in training",
    "process_s": "whole process, s",
    "peak_memory_mb": "peak memory, MB",
}


def details(results: dict[str, Any]) -> list[str]:
    """A table of each file: all that was measured of each contestant."""
    text = []
    for result in results.values():
        contestants = result["contestants"]
        columns = [key for key in COLUMNS if any(key in c for c in contestants)]
        text += ["", f"### `{result['command']}`", ""]
        text += ["| | " + " | ".join(COLUMNS[key] for key in columns) + " | runs |"]
        text += ["|---|" + "--:|" * len(columns) + "--:|"]
        for c in contestants:
            cells = [spread(c[key]) if key in c else "" for key in columns]
            failed = f", {c['failed']} failed" if c["failed"] else ""
            text.append(f"| {c['name']} | {' | '.join(cells)} | {len(c['runs'])}{failed} |")
        versions = {peer: c["versions"] for c in contestants if (peer := c["name"].split(",")[0]) and "versions" in c}
        made = " ".join(f"{who}: {listed(v)}." for who, v in versions.items())
        method = result.get("method", OLD_METHOD)
        text += ["", f"{machine(result['machine'])} Commit {result['commit']}. {method}. {made}"]
    return text


def machine(values: dict[str, Any]) -> str:
    """In words."""
    return (
        f"{values['cores']} cores ({values['cpu']}; {', '.join(values['flags'])}), {values['memory_gb']:.0f} GB, "
        f"{values['system']}, {values['date']}; load before: {values['load_before']}."
    )


def listed(versions: dict[str, str]) -> str:
    """Packages and their versions."""
    return ", ".join(f"{name} {value}" for name, value in versions.items())


def page(results: dict[str, Any], found: list[Line], image: str) -> str:
    """The Markdown page."""
    head = [
        "# Speed next to other libraries",
        "",
        "Made by `python benchmarks/speed/report.py` from the files in `results/speed`; each command is a script of",
        "this folder, described in its docstring. Contestants run in turn, each run a process of its own.",
        "Numbers: median (least to most). Ratio: of the two runs of a pair, which followed one another; of all pairs",
        "the median (least to most), and the bootstrap's interval of that median. Of three pairs it is least to most,",
        "which holds the true median three times in four. Above 1 proximax is faster, except where it is compared",
        "with itself. Of a peer's variants the fastest counts. Machines differ from day to day:",
        "only runs of one record are compared. Code: *equivalent* is the same algorithm with the same sizes and",
        "settings; *retuned* is each with its own settings, network or environment; *identical in bits* computes the",
        "same numbers.",
        "Peak memory is the largest of any one process. Compilation: the first update minus a later one, with all that",
        "happens before it; of PureJaxRL and Rejax, tracing and compiling alone. ∞: the goal was not reached.",
        "",
        f"![How many times as fast proximax is]({image})",
        "",
    ]
    return "\n".join([*head, *claims(found), "", "## All that was measured", *details(results), ""])


def picture(found: list[Line], path: Path) -> None:
    """Horizontal bars: how many times as fast as the peers, and below, what should be small."""
    faster = [line for line in found if line.row.peers and line.ratio and line.row.file != "double_buffering"]
    small = [line for line in found if line.row.over or line.row.unit == "times"]
    panels = {
        "how many times as fast as the peer: more is better": faster,
        "how many times as long: less is better": small,
    }
    panels = {title: part for title, part in panels.items() if part}
    sizes = [len(part) + 1.5 for part in panels.values()]
    figure, axes = plt.subplots(
        len(panels), figsize=(9.5, 0.29 * sum(sizes) + 0.6), layout="constrained", squeeze=False, height_ratios=sizes
    )
    for axis, (title, part) in zip(axes[:, 0], panels.items()):
        axis.set_title(title, fontsize=10, loc="left", fontweight="bold")
        bars(axis, part)
    figure.supxlabel("black line: least to most; black mark: target; orange: missed", fontsize=8)
    figure.savefig(path, dpi=110)


def bars(axis: Any, part: list[Line]) -> None:
    """One panel, from ratio 1 to either side."""
    for place, line in enumerate(reversed(part)):
        values = line.ours[line.row.key]
        middle, low, high = line.ratio[:3] if line.ratio else (values["median"], values["least"], values["most"])
        if not math.isfinite(middle):
            note, end = "the peer did not reach the goal" if middle > 1 else "not reached", 1.0
        else:
            note, end = digits(middle), max(middle, min(high, 10 * middle), 1.0)
            axis.barh(place, middle - 1, left=1, color=ORANGE if "missed" in line.met else BLUE, height=0.62)
            axis.plot([low, min(high, 10 * middle)], [place, place], color="black", linewidth=1)
        if line.target is not None and end <= line.target <= 1.25 * end:
            end = line.target  # the mark would run through the number
        axis.annotate(note, (end, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
        if line.target is not None:
            axis.plot([line.target] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2.4)
    axis.set_yticks(range(len(part)), [label(line) for line in reversed(part)], fontsize=8)
    axis.set_ylim(-0.6, len(part) - 0.4)
    axis.set_xscale("log")
    axis.axvline(1, color=GREY, linewidth=1)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.1)
    axis.tick_params(labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)


def label(line: Line) -> str:
    """What a bar shows."""
    peer = f"   {line.other['name'].partition(',')[0]}" if line.row.peers and line.other else ""
    return line.row.what + peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of the JSON files; the page is then written there too")
    given = parser.parse_args().folder
    folder = given or RESULTS
    results = load(folder)
    found = lines(results)
    (given or HERE).joinpath("speed.md").write_text(page(results, found, "speed.png" if given else IMAGE))
    picture(found, folder / "speed.png")
    for line in found:
        if "missed" in line.met:
            print("missed:", line.row.what)


if __name__ == "__main__":
    main()
