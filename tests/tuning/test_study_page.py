"""The page of a study and its figures."""

from pathlib import Path

import pytest

from proximax.training import resolve
from proximax.tuning.optuna_study import open_study, quiet_optuna
from proximax.tuning.outcome import TuneResult, config_of_best
from proximax.tuning.search_space import Parameter
from proximax.tuning.study_page import page, write_study

SPACE = {"gamma": Parameter(0.1, 0.9), "epsilon": Parameter(0.1, 0.3)}
CONFIG, _ = resolve("CartPole-v1", "none", {"steps": 4096})


def searched(trials=6, directory=None):
    """(result, study) of a search whose score is gamma; the second trial is pruned."""
    with quiet_optuna():
        study = open_study("s", None, SPACE, {}, ("random", "none"), 0)
        for i in range(trials):
            trial = study.ask()
            study.begin(trial, i)
            study.report(trial, 1, trial.settings["gamma"])
            study.end(trial, "pruned" if i == 1 else "complete", trial.settings["gamma"], 4096)
        records = study.records()
    best = max((r for r in records if r.state == "complete"), key=lambda record: record.score)
    preset = directory / "best.toml" if directory else Path("best.toml")
    return TuneResult(config_of_best(CONFIG, best), records, SPACE, directory, preset), study


def test_the_page_says_what_was_searched_what_was_found_and_how_to_train_it():
    result, _ = searched()
    text = page(result, ["history.png"])
    assert text.startswith("# Search on CartPole-v1\n\n6 trials: 5 trained to the end, 1 pruned.")
    assert "proximax train CartPole-v1 --preset best.toml --seeds 5" in text
    assert "  gamma    0.1 to 0.9" in text
    assert "![history](history.png)" in text
    assert text.count("| complete |") == 5
    assert f"Best: trial {result.best.number}, mean return" in text


def test_without_matplotlib_there_is_a_page_without_figures(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    result, study = searched(directory=tmp_path)
    write_study(result, study)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.toml", "study.md"]
    assert "![" not in (tmp_path / "study.md").read_text()


@pytest.mark.slow
def test_the_figures_are_optunas_and_leave_no_figure_open(tmp_path):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    result, study = searched(12, tmp_path)
    write_study(result, study)
    for name in ("history", "curves", "importances"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"![{name}]({name}.png)" in (tmp_path / "study.md").read_text()
    assert pyplot.get_fignums() == before
    (tmp_path / "few").mkdir()
    few, study = searched(3, tmp_path / "few")
    write_study(few, study)
    assert not (tmp_path / "few" / "importances.png").exists()
