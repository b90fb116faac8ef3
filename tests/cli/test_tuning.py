"""``proximax tune``: flags, what is asked of the search, what is printed."""

from pathlib import Path

import pytest

from proximax.cli import tuning
from proximax.cli.commands import parse
from proximax.errors import UsageError
from proximax.training import resolve
from proximax.tuning import SEARCH_SEED, TuneResult
from proximax.tuning.optuna_study import TrialRecord
from proximax.tuning.search_space import Parameter
from tests.support.cli_process import run_command

TRIAL = TrialRecord(0, "complete", 321.5, {"gamma": 0.95}, SEARCH_SEED, 4096, {})


@pytest.fixture
def asked(monkeypatch):
    """The plan that a command makes, and what it would print."""
    plans = []

    def execute(plan, preset_out, quiet):
        plans.append((plan, preset_out, quiet))
        config, _ = resolve("CartPole-v1", "none", {})
        return TuneResult(config, [TRIAL], {"gamma": Parameter(0.9, 0.99)}, plan.directory, Path("b c.toml"))

    monkeypatch.setattr(tuning, "execute_tuning", execute)
    return plans


def test_flags_become_a_plan_and_the_end_says_how_to_train_the_best(asked):
    run_command(
        "tune CartPole-v1 --trials 5 --side-by-side 2 --steps 1e5 --ppo.hidden 32 --sampler random --halvings 2 "
        "--preset-out b.toml --quiet --env-kwargs.sutton-barto-reward True"
    ).fine(
        "trial     state  score  steps  gamma",
        "best      trial 0: mean return 321.5",
        "next: proximax train CartPole-v1 --env-kwargs.sutton_barto_reward True --preset 'b c.toml' --seeds 5",
    )
    ((plan, preset_out, quiet),) = asked
    assert (plan.trials, plan.side_by_side, plan.sampler, plan.halvings) == (5, 2, "random", 2)
    assert (plan.config.steps, plan.config.ppo.hidden, plan.config.seed) == (100_000, (32,), SEARCH_SEED)
    assert plan.config.preset == "cartpole"
    assert plan.directory.parent.name == "runs"
    assert (preset_out, quiet) == (Path("b.toml"), True)


def test_seeds_of_the_users_own_and_no_preset(asked):
    run_command("tune CartPole-v1 --seed 3 --seeds 2 --preset none --out here").fine()
    ((plan, _, _),) = asked
    assert (plan.config.seed, plan.config.seeds, plan.config.preset) == (3, 2, None)
    assert plan.directory.name == "here"


def test_the_help_shows_the_defaults_of_the_preset_and_the_seed_of_a_search(capsys):
    with pytest.raises(SystemExit):
        parse(["tune", "CartPole-v1", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"(default: {SEARCH_SEED})" in text
    assert "(default: 100000)" in text


def test_without_an_environment_one_is_asked_for():
    with pytest.raises(UsageError, match="name an environment"):
        tuning.run_tune(tuning.Tune(env=""))
