"""The recorded speeds as a Markdown page, ``speed.md``, and a picture of the ratios.

python benchmarks/speed/report.py [FOLDER]
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "speed"
IMAGE = "../results/speed/speed.png"
TARGETS: dict[str, float | None] = json.loads((HERE / "targets.json").read_text())
BLUE, GREY, ORANGE = "#0072B2", "#999999", "#D55E00"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``target`` (in targets.json, by ``id``) bounds the ratio; without ratio, the value."""

    id: str
    what: str
    file: str
    key: str  # of the measured number
    ours: str
    peers: str = ""  # how the names of the peer's contestants begin; the best of them counts
    over: str = ""  # instead of peers: what ours is divided by, less being better
    unit: str = ""
    less: bool = False  # is better


def speed(id: str, what: str, file: str, ours: str, peers: str, key: str = "steps_per_s") -> Row:
    """A row of steps per second."""
    return Row(id, what, file, key, ours, peers, unit="steps/s")


def shorter(id: str, what: str, file: str, ours: str, key: str, peers: str = "") -> Row:
    """A row of seconds."""
    return Row(id, what, file, key, ours, peers, unit="s", less=True)


def rows() -> Iterator[Row]:
    """The whole table."""
    for kind in ("cold", "warm"):
        what, ours = f"CartPole-v1, process start to solved, {kind}", f"proximax, {kind}"
        yield shorter(f"cartpole-{kind}", what, "cartpole_solved", ours, "to_goal_s")
        for peer in ("SB3", "SBX"):
            yield shorter(f"cartpole-{kind}-{peer.lower()}", what, "cartpole_solved", ours, "to_goal_s", peer)
    for source in ("Gymnasium", "EnvPool"):
        for peer in ("SB3", "SBX", "CleanRL")[: 3 if source == "Gymnasium" else 2]:
            name = f"cheetah-{source.lower()}-{peer.lower()}"
            yield speed(name, f"HalfCheetah-v5 by {source}", "half_cheetah", f"proximax, {source}", peer)
    for source in ("Gymnasium", "EnvPool"):
        what = f"HalfCheetah-v5 by {source}: wall / max(environment, update)"
        name = f"cheetah-{source.lower()}-wall"
        yield Row(name, what, "half_cheetah", "wall_over_larger", f"parts, {source}", less=True, unit="times")
    million = "half_cheetah_million", "proximax, EnvPool"
    yield shorter("cheetah-million", "HalfCheetah-v5, 1 M steps by EnvPool", *million, "with_evaluation_s")
    yield Row("cheetah-million-return", "The same: final return", "half_cheetah_million", "return", million[1])
    small = "half_cheetah_million", "proximax, EnvPool, 64 x 64"
    yield shorter("cheetah-million-64", "The same, 64 x 64 network", *small, "with_evaluation_s")
    yield Row("cheetah-million-64-return", "The same, 64 x 64: final return", small[0], "return", small[1])
    for key, what, make in (("", "", speed), ("-compile", ": compilation", shorter)):
        for envs in (4, 64):
            for peer in ("PureJaxRL", "Rejax"):
                text, ours = f"gymnax CartPole-v1, {envs} environments{what}", f"proximax, {envs}"
                name, theirs = f"gymnax-{envs}{key}-{peer.lower()}", f"{peer}, {envs}"
                if make is speed:
                    yield speed(name, text, "gymnax_cartpole", ours, theirs)
                else:
                    yield shorter(name, text, "gymnax_cartpole", ours, "compile_s", theirs)
    for seeds in (8, 64):
        what = f"{seeds} seeds in the time of one, without compilation"
        yield Row(
            f"seeds-{seeds}", what, "seeds", "run_s", f"proximax, {seeds}", over="proximax, 1", unit="s", less=True
        )
    yield speed("seeds-8-purejaxrl", "8 seeds, all their steps", "seeds", "proximax, 8", "PureJaxRL, 8")
    for source in ("Gymnasium", "EnvPool"):
        for envs in (8, 64):
            what, name = (
                f"HalfCheetah-v5 by {source}, {envs} environments: double-buffered",
                f"{source}, {envs} environments",
            )
            yield speed(
                f"double-buffering-{source.lower()}-{envs}",
                what,
                "double_buffering",
                f"{name}, double-buffered",
                f"{name}, one group",
            )
    for network in ("Nature CNN", "patch-cnn"):
        what, ours = f"Pong from 84 x 84 pixels, {network}", f"proximax, {network}"
        yield speed(f"pong-{network.lower().removesuffix(' cnn')}-sb3", what, "pong_pixels", ours, "SB3")
    for cell in ("lstm", "gru", "mingru"):
        what, ours = f"CartPole-v1 without velocities, {cell}", f"proximax, {cell}"
        yield speed(f"recurrent-{cell}", what, "recurrent", ours, "RecurrentPPO")
        yield speed(f"recurrent-{cell}-mlp", f"{what}: against no memory", "recurrent", ours, "proximax, mlp")
    what = "CartPole-v1 in two processes"
    yield speed("rllib", what, "rllib", "proximax", "RLlib")
    solved = f"{what}, process start to solved"
    yield shorter("rllib-solved", solved, "rllib", "solved: proximax", "to_goal_s", "solved: RLlib")
    killed = f"{what}: pause after kill -9 of a worker"
    yield shorter("rllib-killed", killed, "rllib", "killed: proximax", "pause_s", "killed: RLlib")
    what = "Update's share of the speed of a [1024, 64] x [64, 64] product"
    yield Row("matmul-share", what, "matmul_share", "share_of_64", "proximax")


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


def number(x: float | None) -> float:
    """JSON's null stands for infinity: a goal not reached."""
    return math.inf if x is None else x


@dataclass(frozen=True)
class Line:
    """A row with what was measured."""

    row: Row
    ours: dict[str, Any]
    other: dict[str, Any] | None
    ratios: tuple[float, float, float] | None  # of the medians, least and most of the turns; more is better with peers

    @property
    def target(self) -> float | None:
        """What it is measured by."""
        return TARGETS[self.row.id]

    @property
    def met(self) -> str:
        """Whether it was met."""
        if self.target is None:
            return "not set"
        value = self.ratios[0] if self.ratios else number(self.ours[self.row.key]["median"])
        less = bool(self.row.over) or (self.row.less and not self.row.peers)
        return "met" if (value <= self.target if less else value >= self.target) else "**missed**"


def lines(results: dict[str, Any]) -> list[Line]:
    """All rows that have been measured."""
    found = []
    for row in rows():
        ours, name = find(results, row, row.ours), row.peers or row.over
        other = find(results, row, name) if name else None
        if ours is not None and bool(other) == bool(name):
            found.append(Line(row, ours, other, ratios(row, ours, other) if other else None))
    return found


def ratios(row: Row, ours: dict[str, Any], other: dict[str, Any]) -> tuple[float, float, float]:
    """Of the medians; and the least and most of runs that followed one another."""
    upside_down = row.less and not row.over

    def ratio(a: float | None, b: float | None) -> float:
        x, y = number(a), number(b)
        top, bottom = (y, x) if upside_down else (x, y)
        return math.nan if math.isinf(bottom) and math.isinf(top) else top / bottom

    good = zip(ours["runs"], other["runs"])
    turns = [ratio(a[row.key], b[row.key]) for a, b in good if "failed" not in a and "failed" not in b]
    middle = ratio(ours[row.key]["median"], other[row.key]["median"])
    return middle, min(turns, default=middle), max(turns, default=middle)


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
    text = ["| what | proximax | against | ratio | target | | command |", "|---|--:|--:|--:|--:|---|---|"]
    for line in found:
        row, key = line.row, line.row.key
        against = f"{line.other['name']}: {digits(line.other[key]['median'])}" if line.other else ""
        share = spread(dict(zip(("median", "least", "most"), line.ratios))) if line.ratios else ""
        sign = "≤" if row.over or (row.less and not row.peers) else "≥"
        target = f"{sign} {line.target:g}" if line.target is not None else ""
        cells = [row.what, f"{spread(line.ours[key])} {row.unit}".strip(), against, share, target, line.met]
        text.append(f"| {' | '.join(cells)} | `{row.file}.py` |")
    return text


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
        text += ["", f"{machine(result['machine'])} Commit {result['commit']}. {made}"]
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
        "Numbers: median (least to most). Ratio: of the medians (least to most of runs that followed one another);",
        "above 1 proximax is faster, except where it is compared with itself. Of a peer's variants the fastest counts.",
        "Peak memory is the largest of any one process. Compilation: the first update minus a later one, with all that",
        "happens before it; of PureJaxRL and Rejax, tracing and compiling alone. ∞: the goal was not reached.",
        "",
        f"![How many times as fast proximax is]({image})",
        "",
    ]
    return "\n".join([*head, *claims(found), "", "## All that was measured", *details(results), ""])


def picture(found: list[Line], path: Path) -> None:
    """Horizontal bars: how many times as fast as the peers, and below, what should be small."""
    faster = [line for line in found if line.row.peers and line.ratios and line.row.file != "double_buffering"]
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
        middle, low, high = line.ratios or (values["median"], values["least"], values["most"])
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
