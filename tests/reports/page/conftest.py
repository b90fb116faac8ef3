"""Runs of every kind, and the report of all of them, written once."""

import json

import pytest

from proximax.reports import report
from proximax.reports.page.contents import gather_contents
from tests.support.finished_runs import HOSTILE, finished_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two algorithms on two environments, one still training, one just started, one damaged."""
    folder = tmp_path_factory.mktemp("runs")
    for i, env in enumerate(("probe:choice", "probe:matching")):
        finished_run(folder / f"clip-{i}", [10.0, 20.0, 30.0], env)
        finished_run(folder / f"a2c-{i}", [1.0, 4.0], env, algo="a2c", ppo={"epochs": 1, "minibatch_size": None})
    going = finished_run(folder / "more", [25.0], "probe:choice", seed=7)
    (going / "result.json").unlink()
    started = finished_run(folder / "started", [0.0], "probe:choice", seed=8)
    (started / "result.json").unlink()
    (started / "metrics.jsonl").unlink()
    damaged = finished_run(folder / "damaged", [1.0], "probe:choice", seed=9)
    (damaged / "metrics.jsonl").write_text('{"update": "x"}\n')
    hostile = finished_run(folder / HOSTILE.replace("/", "_"), [5.0, 6.0], "probe:choice", algo="trpo")
    change(hostile / "config.json", preset=HOSTILE)
    (going / "error.log").write_text(f"{HOSTILE}\n")
    change(hostile / "result.json", version=HOSTILE, machine={"python": HOSTILE, "devices": [HOSTILE]})
    return folder


def change(path, **values):
    """Give a JSON file other values."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="session")
def contents(runs):
    """What the report of all of them says."""
    return gather_contents([runs])


@pytest.fixture(scope="session")
def page(runs, tmp_path_factory):
    """The text of the report of all of them."""
    return report([runs], tmp_path_factory.mktemp("page") / "report.html").read_text()
