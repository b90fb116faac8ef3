"""Learning curves of runs that exist."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import proximax
from proximax.cli.dispatch import main
from proximax.errors import CheckpointError, UsageError
from proximax.reports.curves import read_curve
from proximax.reports.run_groups import find_runs, group_runs
from tests.support.saved_runs import TINY as SIX_UPDATES

TINY = SIX_UPDATES | {"steps": 64}  # four updates


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one environment, and an unfinished run of another."""
    folder = tmp_path_factory.mktemp("runs")
    proximax.train("probe:matching", seeds=2, out=folder / "a", **TINY)
    proximax.train("CartPole-v1", out=folder / "b", callbacks=[lambda rows: rows[0]["update"] == 3], **TINY)
    (folder / "b" / "result.json").unlink()
    return [folder / "a", folder / "b"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "begins"), [("x.png", b"\x89PNG"), ("x.PDF", b"%PDF"), ("x.svg", b"<?xml")])
def test_every_format_is_a_whole_file(runs, tmp_path, name, begins):
    path = proximax.plot(runs, tmp_path / name)
    assert path.read_bytes().startswith(begins)
    if name == "x.png":
        assert plt.imread(path).shape[1] > 1000  # two panels beside each other


def test_a_curve_has_the_numbers_of_the_metrics(runs):
    rows = proximax.runs.read_metrics(runs[0] / "metrics.jsonl")
    first, second = (read_curve(group) for group in group_runs(find_runs(runs)))
    assert (first["env"], first["label"], first["seeds"]) == ("probe:matching", "clip", [0, 1])
    assert first["at_steps"] == [16, 32, 48, 64]
    of_seed_1 = [row["return_last_100"] for row in rows if row["seed"] == 1]
    np.testing.assert_allclose(np.array(first["return"][1], float), np.array(of_seed_1, float), rtol=1e-4)
    assert np.shape(second["return"]) == (1, 3)


def test_a_folder_and_labels_are_taken_as_runs(runs, tmp_path):
    assert [group.label for group in group_runs(find_runs([runs[0].parent]))] == ["clip", "clip"]
    assert proximax.plot([runs[0].parent], tmp_path / "x.svg").exists()
    text = proximax.plot({"mine": runs[0], "others": [runs[1]]}, tmp_path / "y.svg").read_text()
    assert "<!-- mine (2) -->" in text
    assert "<!-- others (1) -->" in text


def test_the_same_runs_give_the_same_file(runs, tmp_path):
    for ending in ("png", "pdf", "svg"):
        first, second = (proximax.plot(runs, tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
        assert first == second


def test_the_command_line_plots_in_the_format_it_is_told(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(runs[0]), f"other={runs[1]}", "--format", "pdf"]) == 0
    assert capsys.readouterr().out == "saved in returns.pdf\n"
    assert main(["plot", str(runs[0]), "--out", "mine", "--format", "svg"]) == 0
    assert (tmp_path / "mine.svg").exists()
    assert main(["plot", str(runs[0]), "--out", "mine.png", "--format", "svg"]) == 2
    assert "--format svg: --out mine.png ends in .png" in capsys.readouterr().err
    assert main(["plot", str(runs[0]), "--out", "mine"]) == 2
    assert "must end in .png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "out", "message"),
    [([], "x.png", "must be a list of runs"), ("run", "x.png", "list of runs"), (["a"], "x.jpg", "must end in .png")],
)
def test_wrong_arguments_are_refused(given, out, message):
    with pytest.raises(UsageError, match=message):
        proximax.plot(given, out)


def test_what_is_no_run_is_refused(tmp_path, runs):
    with pytest.raises(CheckpointError, match="not a run directory"):
        proximax.plot([*runs, tmp_path], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
