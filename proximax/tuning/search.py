"""A search from its plan to its result: trials side by side, rung by rung, those that fall behind making room."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from proximax.config import RunConfig
from proximax.errors import NumericalError
from proximax.evaluation import Purpose
from proximax.runtime import PROGRESS, format_number
from proximax.tuning.optuna_study import OpenTrial, Study
from proximax.tuning.search_space import with_settings
from proximax.tuning.trial_batch import TrialBatch


class Rung(NamedTuple):
    """Where trials are compared."""

    number: int  # 1, 2, 4, ..., as the pruner counts
    update: int  # after which it is


@dataclass
class Running:
    """A trial in its place."""

    trial: OpenTrial
    config: RunConfig
    update: int = 0
    passed: int = 0  # rungs

    @property
    def number(self) -> int:
        """The trial's."""
        return int(self.trial.trial.number)


def rungs_of(updates: int, halvings: int) -> list[Rung]:
    """After 1/2^h, ..., 1/4, 1/2 of all updates, rounded up, and after all of them."""
    return [Rung(2**i, math.ceil(updates / 2 ** (halvings - i))) for i in range(halvings + 1)]


class Search:
    """The loop: fill empty places, train all to the next rung of any, score those that reached one."""

    def __init__(self, config: RunConfig, study: Study, rungs: list[Rung], trials: int) -> None:
        """``config``: of every trial but for what is searched; its ``seed`` is the first trial's."""
        self.config, self.study, self.rungs, self.trials = config, study, rungs, trials
        self.running: dict[int, Running] = {}  # by place
        self.cleared: set[int] = set()  # places that no trial will take any more
        self.begun = study.ended

    def run(self, batch: TrialBatch) -> None:
        """Until ``trials`` have ended, those that a process before this one ended included."""
        while self.fill(batch):
            left = min(self.next_rung(running).update - running.update for running in self.running.values())
            advanced = batch.advance(left)
            if advanced.lost and advanced.failed.isdisjoint(self.running):
                raise NumericalError("an environment gives numbers that are not finite though no trial acts in it")
            for place in [place for place in advanced.lost if place in self.running]:
                self.restart(batch, place)
            for place in [place for place in sorted(advanced.failed) if place in self.running]:
                self.end(place, "diverged", None)
            if not advanced.updates:
                continue
            for running in self.running.values():
                running.update += advanced.updates
            self.compare(batch)

    def fill(self, batch: TrialBatch) -> bool:
        """Give every empty place a trial, while there are any left to begin. Returns whether any trains."""
        for place in [place for place in range(batch.places) if place not in self.running]:
            if self.begun < self.trials:
                self.begun += 1
                trial = self.study.ask()
                seed = self.config.seed + trial.trial.number * self.config.seeds
                self.study.begin(trial, seed)
                self.running[place] = Running(trial, replace(with_settings(self.config, trial.settings), seed=seed))
                batch.start(place, self.running[place].config)
            elif place not in self.cleared and self.running:
                self.cleared.add(place)
                batch.clear(place)
        return bool(self.running)

    def restart(self, batch: TrialBatch, place: int) -> None:
        """Train a trial again from its first update, as it was."""
        running = self.running[place]
        self.running[place] = Running(running.trial, running.config)
        batch.start(place, running.config)

    def next_rung(self, running: Running) -> Rung:
        """The rung ahead of a trial."""
        return self.rungs[running.passed]

    def compare(self, batch: TrialBatch) -> None:
        """Score the trials that have reached a rung; those that it is their last, or that fall behind there, end."""
        there = {p: r for p, r in sorted(self.running.items()) if r.update == self.next_rung(r).update}
        scores: dict[int, float] = {}
        for place, running in there.items():
            rung = self.next_rung(running)
            is_last = rung is self.rungs[-1]
            salt, purpose = (0, Purpose.REPORT) if is_last else (rung.update, Purpose.LOG)
            scores[place] = batch.score(place, running.config.seed, salt, purpose)
            self.study.report(running.trial, rung.number, scores[place])
        for place, running in sorted(there.items(), key=lambda entry: entry[1].number):
            is_last = self.next_rung(running) is self.rungs[-1]
            running.passed += 1
            if is_last:
                known = math.isfinite(scores[place])
                self.end(place, "complete" if known else "diverged", scores[place] if known else None)
            elif self.study.is_worse(running.trial):
                self.end(place, "pruned", scores[place])

    def end(self, place: int, state: str, score: float | None) -> None:
        """A trial leaves its place."""
        running = self.running.pop(place)
        steps = running.update * self.config.batch_size
        self.study.end(running.trial, state, score, steps)
        reached = "" if score is None else f" {format_number(score)}"
        words = {"complete": f"mean return{reached}", "pruned": f"pruned at{reached}", "diverged": "diverged"}[state]
        PROGRESS.info(
            f"[{self.study.ended}/{self.trials}] trial {running.number}: {words} after {steps:,} steps"
            f"  {settings_text(running.trial.settings)}"
        )


def settings_text(settings: Mapping[str, float]) -> str:
    """Settings in a line, rounded to be read."""
    return ", ".join(f"{name} {value:.3g}" for name, value in settings.items())
