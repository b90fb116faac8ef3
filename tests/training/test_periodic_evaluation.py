"""When a run evaluates: each time once, on its own starts, and never in the way of training. Traps 28, 43."""

from dataclasses import replace

import numpy as np
import pytest

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.evaluation.evaluator import Evaluation, Purpose, evaluation_seed
from proximax.training import periodic_evaluation
from proximax.training.periodic_evaluation import PeriodicEvaluator, final_evaluation

CONFIG = RunConfig("x", steps=100 * 16, num_envs=2, ppo=PPOConfig(num_steps=8, minibatch_size=8), eval_episodes=50)


class Fake:
    copies = 7

    def close(self):
        self.closed = True


@pytest.fixture
def played(monkeypatch):
    """(salt, purpose, episodes) of every evaluation, whose return is ten times the update that made the policy."""
    found = []

    def play(evaluator, state, config, salt=0, purpose=Purpose.REPORT, episodes=None):
        found.append((salt, purpose.name, episodes))
        return Evaluation(np.full((1, 3), 10.0 * state), np.ones((1, 3)), (0,))

    monkeypatch.setattr(periodic_evaluation, "evaluate_seeds", play)
    monkeypatch.setattr(periodic_evaluation, "make_evaluator", lambda *_, **__: Fake())
    return found


def evaluated(evaluator, updates):
    return [update for update in updates if (evaluator.maybe_evaluate(update, update), evaluator.update == update)[1]]


def test_without_a_goal_or_an_interval_nothing_is_played(played):
    evaluator = PeriodicEvaluator(CONFIG, None, None)
    assert evaluator.next_update(0) == 100
    assert not any(evaluator.maybe_evaluate(update, update) for update in range(101))
    assert (played, evaluator.latest) == ([], None)


def test_eval_every_is_in_steps_and_plays_all_episodes(played):
    evaluator = PeriodicEvaluator(replace(CONFIG, eval_every=5 * 16), None, None)
    assert [evaluator.next_update(update) for update in (0, 4, 5, 99)] == [5, 5, 10, 100]
    assert evaluated(evaluator, range(1, 13)) == [5, 10]
    assert played == [(5, "LOG", None), (10, "LOG", None)]
    assert evaluator.latest.mean == 100.0
    assert not evaluator.maybe_evaluate(10, 10)  # each once
    assert len(played) == 2


def test_steps_that_no_whole_updates_make_are_evaluated_once_they_are_passed(played):
    evaluator = PeriodicEvaluator(replace(CONFIG, eval_every=5 * 16 + 3), None, None)
    assert [evaluator.next_update(update) for update in (0, 5, 6, 99)] == [6, 6, 11, 100]
    assert evaluated(evaluator, range(1, 13)) == [6, 11]


def test_a_goal_alone_is_looked_at_forty_times_with_few_episodes(played):
    evaluator = PeriodicEvaluator(replace(CONFIG, stop_at_return=1e9), None, None)
    assert evaluated(evaluator, range(1, 101)) == [*range(2, 101, 2)]
    assert set(played) == {(update, "LOG", 7) for update in range(2, 101, 2)}


def test_a_goal_reached_is_decided_on_other_starts(played):
    evaluator = PeriodicEvaluator(replace(CONFIG, stop_at_return=40.0, eval_every=16), None, None)
    reached = [update for update in range(1, 5) if evaluator.maybe_evaluate(update, update)]
    assert reached == [4]
    assert played == [*((update, "LOG", None) for update in range(1, 5)), (4, "STOP", None)]
    assert evaluator.reached


def test_a_run_that_goes_on_does_not_evaluate_again(played):
    evaluator = PeriodicEvaluator(replace(CONFIG, eval_every=16), None, None, 6)  # as its checkpoint has it
    assert evaluated(evaluator, range(6, 9)) == [6, 7, 8]
    assert [salt for salt, *_ in played] == [7, 8]
    evaluator.close()


@pytest.mark.trap(43)
def test_a_run_that_stopped_reports_another_evaluation_than_the_one_that_stopped_it(played, monkeypatch):
    evaluator = PeriodicEvaluator(replace(CONFIG, stop_at_return=40.0, eval_every=16), None, None, 3)
    assert evaluator.maybe_evaluate(4, 4)
    final_evaluation(CONFIG, "CartPole-v1", None, None, 4)
    assert played[-1] == (0, "REPORT", None)
    starts = {evaluation_seed(seed, salt, Purpose[name]) for salt, name, _ in played for seed in range(3)}
    assert len(starts) == 3 * len(played)
