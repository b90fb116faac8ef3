"""What Optuna keeps of a search, and what it is asked."""

import warnings

import optuna
import pytest

from proximax.errors import DependencyError, StorageError, UsageError
from proximax.tuning.optuna_study import (
    as_suggested,
    make_pruner,
    make_sampler,
    open_storage,
    open_study,
    quiet_optuna,
    require_optuna,
    storing_study,
)
from proximax.tuning.search_space import Parameter

SPACE = {
    "learning_rate": Parameter(1e-4, 1e-2, "log"),
    "gamma": Parameter(0.9, 0.999, "log-complement"),
    "epsilon": Parameter(0.1, 0.3),
    "lam": Parameter(choices=(0.9, 0.95)),
}
COMMON = {"learning_rate": 1e-3, "gamma": 0.99, "epsilon": 0.2, "lam": 0.95}


def opened(storage=None, made_with=None, name="s", sampler="random", seed=0):
    return open_study(name, storage, SPACE, made_with or {"a": {"b": 1}}, (sampler, "halving"), seed)


def test_settings_come_back_as_they_were_suggested_and_lie_in_their_ranges():
    with quiet_optuna():
        study = opened()
        for _ in range(50):
            trial = study.ask()
            study.begin(trial, 7)
            study.end(trial, "complete", 1.0, 10)
            record = study.records()[-1]
            assert record.settings == trial.settings
            assert 0.9 <= record.settings["gamma"] <= 0.999
            assert record.settings["lam"] in (0.9, 0.95)
        gammas = [record.settings["gamma"] for record in study.records()]
        assert sum(x > 0.99 for x in gammas) > 15  # uniform would give 5


def test_the_common_settings_can_be_the_first_trial():
    with quiet_optuna():
        study = opened()
        study.study.enqueue_trial(as_suggested(COMMON, SPACE))
        assert study.ask().settings == pytest.approx(COMMON)
    assert as_suggested(COMMON | {"gamma": 0.5}, SPACE) is None
    assert as_suggested(COMMON | {"lam": 0.91}, SPACE) is None
    assert as_suggested(COMMON | {"epsilon": None}, SPACE) is None


def test_what_diverged_is_to_the_sampler_the_worst_and_has_no_score():
    with quiet_optuna():
        study = opened()
        trial = study.ask()
        study.begin(trial, 3)
        study.report(trial, 1, 5.0)
        study.end(trial, "diverged", None, 20)
        (record,) = study.records()
        assert record == (0, "diverged", None, trial.settings, 3, 20, {1: 5.0})
        assert study.study.trials[0].state is optuna.trial.TrialState.PRUNED
        assert study.ended == 1


def test_a_score_is_reported_once_though_a_trial_is_restarted():
    with quiet_optuna(), warnings.catch_warnings():
        warnings.simplefilter("error")
        study = opened()
        trial = study.ask()
        study.report(trial, 1, 5.0)
        study.report(trial, 1, 5.0)
        assert not study.is_worse(trial)


def test_a_study_with_other_settings_or_of_others_is_refused(tmp_path):
    path = tmp_path / "study.log"
    with quiet_optuna():
        opened(path)
        assert opened(path).records() == []
        with pytest.raises(UsageError, match=r"a\.b = 1 there, 2 asked for\. Choose another --study or --out"):
            opened(path, {"a": {"b": 2}})
        optuna.create_study(study_name="mine", storage=open_storage(path)).ask()
        with pytest.raises(UsageError, match="is not one of proximax"):
            opened(path, name="mine")


def test_a_storage_that_is_none_is_refused_with_its_name(tmp_path):
    (tmp_path / "study.db").write_text("not a database, and long enough to be seen as none")
    with quiet_optuna(), pytest.raises(StorageError, match=r"cannot be opened in .*study\.db"):
        opened(tmp_path / "study.db")


def test_no_password_of_a_database_is_shown_and_its_errors_are_those_of_a_storage():
    with quiet_optuna(), pytest.raises(StorageError) as info:
        opened("nosuchdatabase://me:secret@host/db")
    assert "secret" not in str(info.value)
    assert "nosuchdatabase://***@host/db" in str(info.value)
    failure = optuna.exceptions.StorageInternalError("an error occurred")
    failure.__cause__ = OSError("database or disk is full\nSQL: ...")
    full = r"kept in a\.db: OSError: database or disk is full\. What"
    with pytest.raises(StorageError, match=full), storing_study("a.db"):
        raise failure


def test_storages_are_urls_journals_and_sqlite_files(tmp_path):
    assert open_storage(None) is None
    assert open_storage("postgresql://host/db") == "postgresql://host/db"
    assert open_storage(tmp_path / "x.db") == f"sqlite:///{tmp_path}/x.db"
    assert isinstance(open_storage(tmp_path / "x.log"), optuna.storages.JournalStorage)


def test_samplers_and_pruners_are_optunas():
    with quiet_optuna():
        assert isinstance(make_sampler("tpe", 1), optuna.samplers.TPESampler)
        assert isinstance(make_sampler("random", 1), optuna.samplers.RandomSampler)
        assert isinstance(make_sampler("cmaes", 1), optuna.samplers.CmaEsSampler)
        assert isinstance(make_pruner("halving"), optuna.pruners.SuccessiveHalvingPruner)
        assert isinstance(make_pruner("none"), optuna.pruners.NopPruner)


def test_a_sampler_that_goes_on_does_not_suggest_the_first_trials_again(tmp_path):
    def settings():
        study = opened(tmp_path / "study.log")
        trial = study.ask()
        study.end(trial, "complete", 1.0, 1)
        return trial.settings

    with quiet_optuna():
        assert settings() != settings()


def test_without_optuna_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[tune\]"'):
        require_optuna()
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "cmaes", None)
    with pytest.raises(DependencyError, match="cmaes needs cmaes"):
        make_sampler("cmaes", 0)


def test_optunas_own_lines_are_silent_within_the_block_alone():
    before = optuna.logging.get_verbosity()
    with quiet_optuna():
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert optuna.logging.get_verbosity() == before
