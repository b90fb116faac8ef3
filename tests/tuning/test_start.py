"""``tune`` from its arguments to its files; a search whose process was killed is continued."""

import os
import signal

import gymnasium
import optuna
import pytest

import proximax
from proximax.errors import EnvError, StorageError, UsageError
from proximax.runs.directory import lock
from proximax.runtime.forking import close_private
from proximax.training import resolve
from proximax.tuning import study_page
from proximax.tuning.start import HALVINGS, SEARCH_SEED, plan_tuning
from tests.support.cli_process import start
from tests.support.saved_runs import TINY

SPACE = {"learning_rate": {"low": 1e-3, "high": 1e-1, "scale": "log"}, "gamma": {"choices": [0.5, 0.9]}}
SIZES = {name: x for name, x in TINY.items() if name != "quiet"}
FLAGS = " ".join(
    f"--{'ppo.' if name in ('num_steps', 'minibatch_size', 'epochs', 'hidden') else ''}{name.replace('_', '-')} {value}"
    for name, value in {**SIZES, "hidden": 4, "steps": 160}.items()
)
TRIALS = 24  # so many that the process is killed long before the last, on a busy machine too
OPTIONS = {"trials": 4, "side_by_side": 8, "halvings": 3, "sampler": "tpe", "pruner": "halving", "space": None}
OPTIONS |= {"preset": "none"}


def planned(env="CartPole-v1", settings=None, out=None, study=None, **options):
    return plan_tuning(env, settings or {}, OPTIONS | options, out=out, study=study)


def test_a_plan_is_checked_and_named_by_what_it_searches():
    plan, again, other = planned(out="auto"), planned(out="auto", trials=64), planned(out="auto", halvings=2)
    assert plan.directory == again.directory != other.directory
    assert plan.directory.name.startswith("CartPole-v1-tune-")
    assert plan.storage == plan.directory / "study.db"
    assert plan.side_by_side == 4  # no more than there are trials
    assert planned().storage is None
    assert "gamma" in plan.space


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "trials = 0: must be an integer >= 1"),
        ({"side_by_side": True}, "side_by_side = True"),
        ({"halvings": -1}, "halvings = -1"),
        ({"sampler": "grid"}, "sampler = 'grid': must be one of tpe, random, cmaes"),
        ({"pruner": "median"}, "pruner = 'median': must be one of halving, none"),
        ({"space": {"hidden": {"choices": [1]}}}, "hidden is structure"),
        ({"settings": {"stop_at_return": 475.0}}, "stop_at_return: not in a search"),
        ({"settings": {"shards": 2}}, "shards: not in a search"),
        ({"settings": {"steps": 4096}}, "2 updates, too few for halvings = 3"),
        ({"settings": {"gama": 1}}, "unknown setting 'gama'"),
        ({"settings": {"seeds": 0}}, "seeds = 0"),
        ({"out": 3}, "out = 3: must be a path"),
        ({"study": 3}, "study = 3: must be a name"),
        ({"env": gymnasium.make_vec("CartPole-v1")}, "an object cannot be made again"),
    ],
)
def test_what_cannot_be_searched_is_refused(changes, said):
    with pytest.raises(UsageError) as info:
        planned(**changes)
    assert said in str(info.value)


def test_a_search_that_cannot_begin_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="NoSuch"):
        proximax.tune("NoSuch-v1", out=tmp_path / "study", quiet=True)

    def fails():
        raise RuntimeError("no such device")

    with pytest.raises(EnvError, match="no such device"):
        proximax.tune(fails, out=tmp_path / "study", quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_study_in_use_by_another_process_is_refused(tmp_path):
    (tmp_path / "study").mkdir()
    held = lock(tmp_path / "study" / ".lock")
    with pytest.raises(StorageError, match="in use by another process"):
        proximax.tune("probe:choice", trials=1, out=tmp_path / "study", quiet=True, **SIZES)
    close_private(held)


@pytest.mark.slow
def test_a_search_finds_settings_writes_them_and_goes_on_with_more_trials(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(study_page, "FIGURES", {})

    def tune(trials):
        return proximax.tune(
            "probe:choice", trials=trials, side_by_side=3, space=SPACE, halvings=1, out=tmp_path / "s", **SIZES
        )

    first = tune(4)
    said = capfd.readouterr().err
    assert f"seeds: 1 for each trial, from {SEARCH_SEED:,} on" in said
    assert "  learning_rate  0.001 to 0.1, logarithmic" in said
    assert "[4/4] trial" in said
    second = tune(6)
    assert "the study has 4 of 6 trials already" in capfd.readouterr().err
    assert second.trials[:4] == first.trials
    assert [trial.seed for trial in second.trials] == [SEARCH_SEED + i for i in range(6)]
    assert tune(6).trials == second.trials
    assert {path.name for path in (tmp_path / "s").iterdir()} >= {"best.toml", "study.md", "study.db"}
    config, _ = resolve("probe:choice", str(second.preset), {})
    assert config.ppo == second.config.ppo
    assert config.ppo.gamma == second.settings["gamma"]
    with pytest.raises(UsageError, match=r"was made with other settings: config\.eval_episodes = 2 there, 3"):
        proximax.tune(
            "probe:choice", trials=6, halvings=1, space=SPACE, out=tmp_path / "s", **SIZES | {"eval_episodes": 3}
        )


@pytest.mark.slow
def test_a_search_in_memory_on_a_callable_host_environment_with_the_common_settings_first():
    settings = SIZES | {"learning_rate": 5e-3, "gamma": 0.9}
    result = proximax.tune(
        lambda: gymnasium.make("CartPole-v1"), trials=3, side_by_side=2, halvings=1, space=SPACE, seeds=2, quiet=True,
        sampler="random", pruner="none", **settings,
    )  # fmt: skip
    assert result.trials[0].settings == {"learning_rate": 5e-3, "gamma": 0.9}
    assert [trial.state for trial in result.trials] == ["complete"] * 3
    assert [trial.seed for trial in result.trials] == [SEARCH_SEED + 2 * i for i in range(3)]
    assert result.directory is result.preset is None


@pytest.mark.process
@pytest.mark.fault(54)
def test_a_search_that_is_killed_goes_on_and_repeats_no_trial(tmp_path):
    (tmp_path / "space.toml").write_text('learning_rate = {low = 1e-3, high = 1e-1, scale = "log"}')
    command = f"tune probe:choice --trials {TRIALS} --side-by-side 2 --space space.toml --out s --seed 5 {FLAGS}"
    process = start(command, tmp_path)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(f"[3/{TRIALS}]"):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    process.stdout.close()
    study = optuna.load_study(study_name="proximax", storage=f"sqlite:///{tmp_path}/s/study.db")
    before = {t.number: (t.params, t.value, t.state.name) for t in study.trials if t.state.is_finished()}
    assert 3 <= len(before) < TRIALS, lines
    process = start(command, tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert f"the study has {len(before)} of {TRIALS} trials already" in err
    trials = optuna.load_study(study_name="proximax", storage=f"sqlite:///{tmp_path}/s/study.db").trials
    assert len(trials) == TRIALS
    assert all(t.state.is_finished() for t in trials)
    assert {t.number: (t.params, t.value, t.state.name) for t in trials if t.number in before} == before
    assert [t.user_attrs["seed"] for t in trials] == [5 + i for i in range(TRIALS)]
    assert "next: proximax train probe:choice --preset" in out


def test_the_default_rungs_fit_the_presets():
    for env in ("CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"):
        config, _ = resolve(env, None, {})
        assert config.updates >= 2**HALVINGS
