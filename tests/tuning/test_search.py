"""The loop of a search, with trials whose scores are known: what continues, what makes room, what is restarted."""

import math

import pytest

from proximax.errors import NumericalError
from proximax.evaluation import Purpose
from proximax.training import resolve
from proximax.tuning.optuna_study import open_study, quiet_optuna
from proximax.tuning.search import Rung, Search, rungs_of
from proximax.tuning.search_space import Parameter
from proximax.tuning.trial_batch import Advanced
from tests.support.saved_runs import TINY

SPACE = {"gamma": Parameter(0.1, 0.9)}
CONFIG, _ = resolve("probe:choice", "none", {k: TINY[k] for k in ("num_envs", "num_steps", "minibatch_size")})
UPDATES = 8


class KnownBatch:
    """A batch whose trials score their gamma, if they are not among those that diverge."""

    def __init__(self, places, diverge=(), lose=()):
        self.places, self.diverge, self.lose = places, set(diverge), list(lose)
        self.trials, self.updates, self.log, self.evaluated = {}, {}, [], []

    def start(self, place, config):
        self.trials[place], self.updates[place] = config, 0
        self.log.append(("start", place, config.seed))

    def clear(self, place):
        self.log.append(("clear", place, None))
        self.trials.pop(place, None)

    def advance(self, updates):
        if self.lose:
            failed = self.lose.pop(0)
            return Advanced(0, frozenset(failed), frozenset(range(self.places)) - frozenset(failed))
        failed = {p for p, config in self.trials.items() if config.seed in self.diverge}
        made = 1 if failed else updates
        self.diverge -= {self.trials[p].seed for p in failed}
        for place in self.trials:
            self.updates[place] += made * (place not in failed)
        return Advanced(made, frozenset(failed))

    def score(self, place, seed, salt=0, purpose=Purpose.REPORT):
        config = self.trials[place]
        assert config.seed == seed
        self.evaluated.append((seed, self.updates[place], salt, purpose))
        return config.ppo.gamma


def searched(batch, trials, pruner="halving", space=SPACE, study=None):
    with quiet_optuna():
        study = study or open_study("s", None, space, {}, ("random", pruner), 3)
        Search(CONFIG, study, rungs_of(UPDATES, 3), trials).run(batch)
        return study.records()


def test_rungs_are_at_halves_of_the_updates_rounded_up():
    assert rungs_of(8, 3) == [Rung(1, 1), Rung(2, 2), Rung(4, 4), Rung(8, 8)]
    assert [rung.update for rung in rungs_of(6, 2)] == [2, 3, 6]
    assert rungs_of(5, 0) == [Rung(1, 5)]


def test_without_a_pruner_every_trial_is_trained_to_the_end_with_seeds_of_its_own():
    batch = KnownBatch(3)
    records = searched(batch, 7, pruner="none")
    assert [record.state for record in records] == ["complete"] * 7
    assert all(record.score == record.settings["gamma"] for record in records)
    assert [record.seed for record in records] == list(range(7))
    assert {record.steps for record in records} == {UPDATES * CONFIG.batch_size}
    assert all(list(record.curve) == [1, 2, 4, 8] for record in records)
    assert {entry[1:] for entry in batch.evaluated if entry[0] == 6} == {
        *((update, update, Purpose.LOG) for update in (1, 2, 4)),
        (8, 0, Purpose.REPORT),
    }


def test_about_half_of_those_that_reach_a_rung_go_on_and_others_take_their_places_at_once():
    batch = KnownBatch(4)
    records = searched(batch, 32)
    assert len(records) == 32
    complete = [record for record in records if record.state == "complete"]
    pruned = [record for record in records if record.state == "pruned"]
    assert len(complete) + len(pruned) == 32
    assert 1 <= len(complete) <= 8
    assert 12 <= sum(list(record.curve) == [1] for record in pruned) <= 24
    assert max(record.settings["gamma"] for record in records) == max(record.score for record in complete)
    for record in pruned:
        assert record.steps == max(record.curve) * CONFIG.batch_size  # here the n-th rung is after n updates
    started = [entry for entry in batch.log if entry[0] == "start"]
    assert len(started) == 32
    assert "clear" not in [entry[0] for entry in batch.log[: batch.log.index(started[-1])]]


@pytest.mark.fault(55)
def test_a_trial_that_diverges_ends_alone():
    batch = KnownBatch(3, diverge=[1])
    records = searched(batch, 3, pruner="none")
    assert [record.state for record in records] == ["complete", "diverged", "complete"]
    assert records[1].score is None
    assert records[1].steps == 0
    assert {entry[1] for entry in batch.evaluated if entry[0] == 0} == {1, 2, 4, 8}


@pytest.mark.fault(55)
def test_trials_are_restarted_where_their_environments_were_stepped_without_them():
    batch = KnownBatch(3, lose=[{1}])
    records = searched(batch, 3, pruner="none")
    assert [record.state for record in records] == ["complete", "diverged", "complete"]
    assert [entry for entry in batch.log if entry[0] == "start"] == [
        *(("start", place, place) for place in range(3)),
        ("start", 0, 0),
        ("start", 2, 2),
    ]


def test_numbers_that_are_not_finite_where_no_trial_acts_end_the_search():
    with pytest.raises(NumericalError, match="though no trial acts"):
        searched(KnownBatch(3, lose=[{2}]), 2, pruner="none")


def test_a_score_that_is_not_known_is_none():
    batch = KnownBatch(2)
    batch.score = lambda *args: math.nan
    assert [(r.state, r.score) for r in searched(batch, 2, pruner="none")] == [("diverged", None)] * 2
    batch = KnownBatch(2)
    batch.score = lambda *args: math.nan
    assert [(r.state, r.score) for r in searched(batch, 2)] == [("pruned", None)] * 2


def test_a_search_goes_on_where_it_was_interrupted_and_repeats_nothing(tmp_path):
    class Killed(BaseException):
        pass

    class Dying(KnownBatch):
        def advance(self, updates):
            if len(self.log) > 9:
                raise Killed
            return super().advance(updates)

    path = tmp_path / "study.log"
    with quiet_optuna(), pytest.raises(Killed):
        searched(Dying(4), 16, study=open_study("s", path, SPACE, {}, ("random", "halving"), 3))
    with quiet_optuna():
        study = open_study("s", path, SPACE, {}, ("random", "halving"), 3)
        before = study.records()
        ended = [record for record in before if record.state != "running"]
        interrupted = [record for record in before if record.state == "running"]
        assert ended
        assert interrupted
        batch = KnownBatch(4)
        after = searched(batch, 16, study=study)
    assert len(after) == 16
    assert after[: len(before)] != before
    assert [after[record.number] for record in ended] == ended
    assert [after[record.number].settings for record in interrupted] == [record.settings for record in interrupted]
    started = {entry[2] for entry in batch.log if entry[0] == "start"}
    assert started == {record.seed for record in after} - {record.seed for record in ended}
