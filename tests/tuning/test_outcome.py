"""What a search found: the best of the trials that count, the table, the preset."""

import pytest

from proximax.errors import NumericalError
from proximax.training import resolve
from proximax.tuning.optuna_study import TrialRecord
from proximax.tuning.outcome import (
    TuneResult,
    best_of,
    config_of_best,
    counts_text,
    in_order,
    preset_text,
    trial_table,
)
from proximax.tuning.search_space import Parameter

SPACE = {"gamma": Parameter(0.9, 0.99), "epsilon": Parameter(0.1, 0.3)}
TRIALS = [
    TrialRecord(0, "complete", 100.0, {"gamma": 0.95, "epsilon": 0.2}, 1_000_000, 4096, {1: 20.0, 2: 100.0}),
    TrialRecord(1, "pruned", 300.0, {"gamma": 0.91, "epsilon": 0.12345678}, 1_000_001, 2048, {1: 300.0}),
    TrialRecord(2, "complete", 200.0, {"gamma": 0.987654321, "epsilon": 0.2}, 1_000_002, 4096, {1: 1.0, 2: 200.0}),
    TrialRecord(3, "diverged", None, {"gamma": 0.93, "epsilon": 0.3}, 1_000_003, 1024, {}),
    TrialRecord(4, "complete", 200.0, {"gamma": 0.94, "epsilon": 0.1}, 1_000_004, 4096, {}),
    TrialRecord(5, "running", None, {}, 1_000_005, 0, {}),
]
CONFIG, _ = resolve("CartPole-v1", "none", {"steps": 4096, "seed": 1_000_000, "seeds": 3, "eval_episodes": 2})


def result_of(trials=TRIALS, directory=None):
    return TuneResult(config_of_best(CONFIG, best_of(trials)), list(trials), SPACE, directory)


def test_the_best_is_the_first_of_the_best_that_were_trained_to_the_end():
    result = result_of()
    assert result.best.number == 2
    assert result.settings == {"gamma": 0.987654321, "epsilon": 0.2}
    assert result.config.ppo.gamma == 0.987654321
    assert (result.config.seed, result.config.seeds) == (0, 1)  # not those of the search
    assert repr(result) == "TuneResult(CartPole-v1, 6 trials, best mean return 200, not saved)"


def test_a_search_without_a_trial_that_counts_is_an_error():
    with pytest.raises(NumericalError, match="none of 2 trials was trained to the end"):
        best_of([TRIALS[1], TRIALS[3]])


def test_the_table_has_the_best_first_then_those_that_came_furthest():
    assert [trial.number for trial in in_order(TRIALS)] == [2, 4, 0, 1, 3, 5]
    lines = trial_table(TRIALS, SPACE, shown=5).splitlines()
    assert lines[0].split() == ["trial", "state", "score", "steps", "gamma", "epsilon"]
    assert lines[1].split() == ["2", "complete", "200", "4,096", "0.9877", "0.2"]
    assert lines[4].split() == ["1", "pruned", "300", "2,048", "0.91", "0.1235"]
    assert lines[5].split()[:3] == ["3", "diverged", "-"]
    assert len(lines) == 6
    assert counts_text(TRIALS) == "6 trials: 3 trained to the end, 1 pruned, 1 diverged, 1 not ended"


def test_the_preset_gives_the_settings_of_the_best_trial_exactly(tmp_path):
    result = result_of()
    (tmp_path / "best.toml").write_text(preset_text(result.config, result.best, result.trials, SPACE))
    config, _ = resolve("CartPole-v1", str(tmp_path / "best.toml"), {})
    assert config.ppo == result.config.ppo
    assert config.steps == 4096
    assert config.eval_episodes == 100  # whatever the search did with
    text = (tmp_path / "best.toml").read_text()
    assert "epsilon = 0.2\n" in text  # though it is the plain default
    assert "partly luck" in text


def test_the_preset_of_a_game_evaluates_as_often_as_that_of_all_games():
    config, _ = resolve("ALE/Asterix-v5", None, {"eval_episodes": 1})
    text = preset_text(config, TRIALS[0], TRIALS, SPACE)
    assert "eval_episodes = 30\n" in text
    assert "eval_stochastic = true\n" in text
