"""The table of ``--verbose``: the metrics that matter, in groups, as users of Stable-Baselines3 know it."""

from proximax.config import RunConfig, is_custom
from proximax.loggers.base import ROLLOUT_METRICS, Rows
from proximax.loggers.progress import Progress, Spread, over_seeds
from proximax.runtime import format_duration, format_number, plural

ROLLOUT = ROLLOUT_METRICS[:4]
TRAIN = (
    "kl",
    "entropy",
    "clip_fraction",
    "policy_objective",
    "value_loss",
    "explained_variance",
    "global_grad_norm",
    "gradient_steps",
    "line_search_fraction",
    "learning_rate",
)
# Settings that only these algorithms use, and custom ones perhaps.
USED_BY = {"epsilon": "clip", "beta": "penalty"}
RANGE_HEADER = "mean (low to high)"
Cells = list[tuple[str, str, str]]  # name, mean, range over seeds


def metrics_table(
    config: RunConfig, progress: Progress, rows: Rows, ended: Rows, evaluation: Rows, width: int | None = None
) -> str:
    """The table after an update with these ``rows``.

    ``ended``: the rows of the latest update in which an episode ended. ``evaluation``: those of the latest evaluation,
    or none. ``width``: the columns of the terminal; ranges over seeds that do not fit are left out.
    """
    groups = {
        "rollout/": [cell(name, over_seeds(rows if name == "episodes" else ended, name)) for name in ROLLOUT],
        "train/": train_cells(config, rows),
        "time/": time_cells(progress),
    }
    if evaluation:
        groups["eval/"] = [cell(name, over_seeds(evaluation, name)) for name in ("return_mean", "steps")]
    cells = [("  " + name, mean, spread) for group in groups.values() for name, mean, spread in group]
    name_width = max(len(name) for name, _, _ in cells)
    value_width = max(len(RANGE_HEADER), *(len(mean + spread) for _, mean, spread in cells))
    with_range = config.seeds > 1 and (width is None or name_width + value_width + 7 <= width)
    lines = []
    if config.seeds > 1:
        lines.append((plural(config.seeds, "seed"), RANGE_HEADER if with_range else "mean"))
    for title, group in groups.items():
        lines.append((title, ""))
        lines += [(f"  {name}", mean + spread if with_range else mean) for name, mean, spread in group]
    value_width = max(len(value) for _, value in lines)
    rule = "-" * (name_width + value_width + 7)
    return "\n".join([rule, *(f"| {name:<{name_width}} | {value:<{value_width}} |" for name, value in lines), rule])


def cell(name: str, value: Spread) -> tuple[str, str, str]:
    """A metric's name, mean and range."""
    return name, format_number(value.mean), value.range


def train_cells(config: RunConfig, rows: Rows) -> Cells:
    """The metrics of the update that this algorithm has."""
    used = [name for name, algo in USED_BY.items() if is_custom(config.algo) or config.algo == algo]
    used += ["entropy_coef"] if rows[0].get("entropy_coef") else []
    return [cell(name, over_seeds(rows, name)) for name in (*TRAIN, *used) if name in rows[0]]


def time_cells(progress: Progress) -> Cells:
    """How far the run is and how fast."""
    values = {
        "steps": f"{progress.steps:,}",
        "update": f"{progress.update:,} of {progress.updates:,} ({progress.percent})",
        "steps_per_s": format_number(progress.steps_per_s),
        "elapsed": format_duration(progress.time_s),
        "left": "0:00" if progress.ended else format_duration(progress.seconds_left),
    }
    return [(name, value, "") for name, value in values.items()]
