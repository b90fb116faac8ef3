"""A study on disk: the best settings, a page with the table of trials, and Optuna's figures of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proximax.envs import EnvId
from proximax.errors import DependencyError
from proximax.reports import nearby, require_matplotlib
from proximax.runtime import format_number, proximax_version, storing, write_atomically
from proximax.tuning.optuna_study import Study, quiet_optuna
from proximax.tuning.outcome import FRESH_SEEDS, TuneResult, counts_text, preset_text, trial_rows
from proximax.tuning.search_space import describe_space

PRESET_FILE, PAGE_FILE = "best.toml", "study.md"
FIGURES = {"history": "plot_optimization_history", "curves": "plot_intermediate_values", "importances": ""}
MIN_TRIALS = 4  # that were trained to the end, for a figure of what mattered
ALL = 10_000  # trials in the page


def write_study(result: TuneResult, study: Study) -> None:
    """Write what a search found, where it says. Raises ``StorageError``."""
    if result.preset:
        write_text(result.preset, preset_text(result.config, result.best, result.trials, result.space))
    if result.directory:
        figures = write_figures(result.directory, result, study)
        write_text(result.directory / PAGE_FILE, page(result, figures))


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    with storing(path):
        write_atomically(path, text.encode())


def page(result: TuneResult, figures: list[str]) -> str:
    """The study as Markdown."""
    best, env = result.best, EnvId.parse(result.config.env).display
    rows = trial_rows(result.trials, result.space, ALL)
    table = [f"| {' | '.join(row)} |" for row in rows]
    table.insert(1, "|" + "--:|" * len(rows[0]))
    preset = f"--preset {nearby(result.preset)} " if result.preset else ""
    lines = [
        f"# Search on {env}",
        "",
        f"{counts_text(result.trials)}. proximax {proximax_version()}, {result.config.algo}, "
        f"{result.config.steps:,} steps of each trial.",
        "",
        f"Best: trial {best.number}, mean return {format_number(best.score or 0.0)} over {result.config.eval_episodes} "
        "evaluation episodes. It is the best of many, and so partly luck; what its settings reach is seen with seeds "
        "that the search has not used:",
        "",
        "```",
        f"proximax train {env} {preset}--seeds {FRESH_SEEDS}",
        "```",
        "",
        "What was searched:",
        "",
        "```",
        describe_space(result.space),
        "```",
        "",
        *(line for name in figures for line in (f"![{Path(name).stem}]({name})", "")),
        "`score`: mean evaluation return when the trial ended.",
        "",
        *table,
    ]
    return "\n".join(lines) + "\n"


def write_figures(directory: Path, result: TuneResult, study: Study) -> list[str]:
    """Optuna's figures by Matplotlib; none where that is not installed."""
    try:
        require_matplotlib()
    except DependencyError:
        return []
    names: list[str] = []
    for name, function in FIGURES.items():
        with drawing_study(directory / f"{name}.png") as optuna:
            visual = optuna.visualization.matplotlib
            complete = [trial for trial in result.trials if trial.state == "complete"]
            if function:
                getattr(visual, function)(study.study)
            elif len(complete) >= MIN_TRIALS and len({trial.score for trial in complete}) > 1:
                # The evaluator that needs nothing but NumPy: Watanabe et al. 2023 (arXiv 2304.10255).
                evaluator = optuna.importance.PedAnovaImportanceEvaluator()
                visual.plot_param_importances(study.study, evaluator=evaluator)
            else:
                continue
        names.append(f"{name}.png")
    return names


@contextmanager
def drawing_study(path: Path) -> Iterator[Any]:
    """``optuna`` for one figure, which is saved; the user's own Matplotlib settings stay as they were."""
    matplotlib = require_matplotlib()
    from io import BytesIO

    from matplotlib import pyplot

    data = BytesIO()
    with quiet_optuna() as optuna, matplotlib.rc_context(), pyplot.ioff():
        before = set(pyplot.get_fignums())
        yield optuna
        for number in set(pyplot.get_fignums()) - before:
            figure = pyplot.figure(number)
            figure.set_size_inches(7, 4)
            figure.savefig(data, format="png", dpi=120, bbox_inches="tight")
            pyplot.close(figure)
    if data.getvalue():
        with storing(path):
            write_atomically(path, data.getvalue())
