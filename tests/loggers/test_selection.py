"""Loggers by name, and those of a user."""

import re
from typing import get_args

import pytest

import proximax
from proximax.errors import DependencyError, UsageError
from proximax.loggers import selection
from proximax.loggers.base import LoggedRun, Logger, LoggerName
from proximax.loggers.csv_logger import CsvLogger
from proximax.loggers.selection import check_log, log_problem, make_loggers
from proximax.loggers.tensorboard import TensorBoardLogger
from tests.support.metric_rows import CONFIG
from tests.support.saved_runs import TINY


@pytest.mark.parametrize("log", [None, (), ["csv"], ("tensorboard", Logger), [lambda run: Logger()]])
def test_names_and_functions_are_taken(log):
    assert log_problem(log) == ""


@pytest.mark.parametrize(
    ("log", "shown"),
    [("csv", "'csv'"), (["csv", "wanb"], "'wanb'"), ([7], "7"), (3, "3"), ([Logger()], "Logger object")],
)
def test_what_is_no_logger_is_refused_by_what_would_be_one(log, shown):
    problem = log_problem(log)
    assert shown in problem
    assert problem.endswith("must be a list of csv, tensorboard, wandb, trackio, or functions that make a Logger")
    with pytest.raises(UsageError, match=re.escape(problem)):
        proximax.train("probe:matching", log=log, **TINY)


def test_every_name_of_a_logger_has_one():
    assert set(selection.LOGGERS) == set(get_args(LoggerName))


def test_what_is_not_installed_is_refused_with_the_line_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(selection, "find_spec", lambda module: None)
    for name in ("tensorboard", "wandb", "trackio"):
        with pytest.raises(DependencyError, match=re.escape(f'pip install "proximax[{name}]"')):
            check_log([name], tmp_path)
    check_log(["csv"], tmp_path)


@pytest.mark.parametrize("name", ["csv", "tensorboard"])
def test_a_file_needs_a_run_directory(name):
    with pytest.raises(UsageError, match=f"log = {name}: its file is in the run directory; name one with out"):
        check_log([name], None)


def test_by_default_there_is_tensorboard_where_there_is_a_directory_and_nothing_is_nothing(tmp_path):
    (default,) = make_loggers(None, LoggedRun(CONFIG, tmp_path))
    assert isinstance(default, TensorBoardLogger)
    default.close()
    assert make_loggers(None, LoggedRun(CONFIG, None)) == []
    assert make_loggers((), LoggedRun(CONFIG, tmp_path)) == []
    (only,) = make_loggers(["csv"], LoggedRun(CONFIG, tmp_path))
    assert isinstance(only, CsvLogger)
    only.close()


def test_a_logger_of_ones_own_sees_the_run_its_rows_and_evaluations_and_is_closed(tmp_path):
    seen = []

    class Mine(Logger):
        def __init__(self, run):
            seen.append(("run", run.config.env, run.directory, len(run.rows)))

        def write(self, rows):
            seen.append(("rows", [row["seed"] for row in rows]))

        def write_evaluation(self, rows, final):
            seen.append(("evaluation", len(rows), final))

        def close(self):
            seen.append(("close",))

    result = proximax.train("probe:matching", log=[Mine], out=tmp_path / "run", **TINY)
    updates, seeds = result.config.updates, result.config.seeds
    assert seen[0] == ("run", "probe:matching", (tmp_path / "run").absolute(), 0)
    assert seen[1:] == [
        *[("rows", list(range(result.config.seed, result.config.seed + seeds)))] * updates,
        *(("evaluation", seeds, True), ("close",)),
    ]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_an_error_of_ones_own_logger_ends_the_training():
    class Broken(Logger):  # without ``__init__``, as one that needs nothing of the run
        def write(self, rows):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        proximax.train("probe:matching", log=[Broken], **TINY)
