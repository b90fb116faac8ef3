"""What a search found: its trials in a table, the best settings as a preset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proximax.config import PRESETS, RunConfig, preset_of, toml_text
from proximax.envs import EnvId
from proximax.errors import NumericalError
from proximax.runtime import format_number, plural
from proximax.tuning.optuna_study import TrialRecord
from proximax.tuning.search_space import Space, with_settings

SHOWN = 10  # trials of the table
FRESH_SEEDS = 5  # with which the winner is to be trained: the best score of many trials is partly luck


@dataclass(frozen=True)
class TuneResult:
    """What a search found."""

    config: RunConfig
    """The settings of the best trial, to be trained with seeds that the search has not seen."""
    trials: list[TrialRecord]
    """All trials, in the order in which they began: number, state, score, settings, seed, steps, curve."""
    space: Space
    """What was searched."""
    directory: Path | None = None
    """Where the study is, with its page and figures."""
    preset: Path | None = None
    """The best settings as a file, for ``train(env, preset=...)`` and ``--preset``."""

    @property
    def best(self) -> TrialRecord:
        """The trial with the best score among those that were trained to the end."""
        return best_of(self.trials)

    @property
    def settings(self) -> dict[str, float]:
        """What was searched, as the best trial had it: ``train(env, **result.settings)``."""
        return self.best.settings

    def __repr__(self) -> str:
        place = "not saved" if self.directory is None else f"in {self.directory}"
        score = format_number(self.best.score or 0.0)
        env = EnvId.parse(self.config.env).display
        return f"TuneResult({env}, {plural(len(self.trials), 'trial')}, best mean return {score}, {place})"


def best_of(trials: Sequence[TrialRecord]) -> TrialRecord:
    """The best of the trials that were trained to the end; of equal ones the first. Raises ``NumericalError``."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.score is not None]
    if not complete:
        raise NumericalError(
            f"none of {len(trials)} trials was trained to the end: their numbers, or their returns, were not finite. "
            "Give a narrower space"
        )
    return max(complete, key=lambda trial: (trial.score, -trial.number))


def in_order(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that were trained to the end first, best first; then those that came furthest."""

    def rank(trial: TrialRecord) -> tuple[bool, int, float, int]:
        score = float("-inf") if trial.score is None else trial.score
        return trial.state == "complete", trial.steps, score, -trial.number

    return sorted(trials, key=rank, reverse=True)


def trial_rows(trials: Sequence[TrialRecord], space: Space, shown: int = SHOWN) -> list[tuple[str, ...]]:
    """The best trials as cells of text, the head first."""
    rows: list[tuple[str, ...]] = [("trial", "state", "score", "steps", *space)]
    for trial in in_order(trials)[:shown]:
        score = "-" if trial.score is None else format_number(trial.score)
        values = (f"{trial.settings[name]:.4g}" if name in trial.settings else "-" for name in space)
        rows.append((str(trial.number), trial.state, score, f"{trial.steps:,}", *values))
    return rows


def trial_table(trials: Sequence[TrialRecord], space: Space, shown: int = SHOWN) -> str:
    """The best trials in columns."""
    rows = trial_rows(trials, space, shown)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def counts_text(trials: Sequence[TrialRecord]) -> str:
    """How many trials ended how."""
    words = {"complete": "trained to the end", "pruned": "pruned", "diverged": "diverged", "running": "not ended"}
    counts = {state: sum(trial.state == state for trial in trials) for state in words}
    return f"{plural(len(trials), 'trial')}: " + ", ".join(f"{n} {words[state]}" for state, n in counts.items() if n)


def config_of_best(config: RunConfig, best: TrialRecord) -> RunConfig:
    """The run that trains the best settings: as a user would, from seed 0, one seed."""
    return replace(with_settings(config, best.settings), seeds=1, seed=0)


def preset_text(config: RunConfig, best: TrialRecord, trials: Sequence[TrialRecord], space: Space) -> str:
    """The best settings as a TOML file; what was searched is in it also where it equals a default."""
    settings = preset_of(config) | {name: best.settings[name] for name in space}
    settings.pop("eval_episodes", None)  # a search may do with few; as many as the environment's preset says
    if config.preset in PRESETS and "eval_episodes" in PRESETS[config.preset].run:
        settings["eval_episodes"] = PRESETS[config.preset].run["eval_episodes"]
    comments = [
        f"Best of {counts_text(trials)} of proximax tune {EnvId.parse(config.env).display}.",
        f"Trial {best.number}, seed {best.seed}: mean return {format_number(best.score or 0.0)}, the best of many and "
        "so partly luck: train it with other seeds.",
        f"proximax train {EnvId.parse(config.env).display} --preset THIS-FILE --seeds {FRESH_SEEDS}",
    ]
    return toml_text(settings, comments)
