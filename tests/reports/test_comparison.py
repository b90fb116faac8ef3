"""Several algorithms side by side: what is written, what is reused, what happens to a run that diverges."""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import proximax
from proximax.cli.dispatch import main
from proximax.config.run_config import RunConfig
from proximax.errors import CheckpointError, Interrupted, StorageError, UsageError
from proximax.reports.aggregation import put_together
from proximax.reports.run_groups import find_runs, group_runs
from proximax.reports.run_summary import summarise
from proximax.reports.tables import table
from tests.support.strategies import broken, damaged

SMALL = {"steps": 512, "num_steps": 32, "eval_episodes": 4, "quiet": True, "hidden": (8,)}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    settings = SMALL | {"minibatch_size": None, "epochs": 1}
    return out, proximax.compare("probe:matching", ["clip", "penalty"], seeds=3, out=out, **settings)


@pytest.mark.slow
def test_everything_is_written_and_the_json_is_what_was_returned(compared):
    out, comparison = compared
    assert {path.name for path in out.iterdir()} == {
        "comparison.json", "comparison.md", "clip", "penalty",
        "returns.png", "scores.png", "improvement.png", "profiles.png", "updates.png",
    }  # fmt: skip
    assert json.loads((out / "comparison.json").read_text()) == json.loads(json.dumps(comparison))
    assert (out / "comparison.md").read_text() == table(comparison)
    for label in ("clip", "penalty"):
        assert (out / label / "result.json").exists()


@pytest.mark.slow
def test_the_numbers_are_those_of_the_runs(compared):
    out, comparison = compared
    run = comparison["runs"][0]
    result = json.loads((out / "clip" / "result.json").read_text())
    assert run["returns"] == result["returns"]
    assert run["iqm"] == result["return_iqm"]
    rows = [json.loads(line) for line in (out / "clip" / "metrics.jsonl").read_text().splitlines()]
    assert sum(run["ratio_histogram"]) == sum(row["steps"] for row in rows if row["update"] == rows[-1]["update"])
    last = [row["return_last_100"] for row in rows if row["update"] == rows[-1]["update"]]
    np.testing.assert_allclose([curve[-1] for curve in run["return"]], last, rtol=1e-4)
    assert run["beta"] is None
    assert len(comparison["runs"][1]["beta"]) == 3


@pytest.mark.slow
def test_a_finished_run_is_taken_as_it_is_an_interrupted_one_continued_and_another_one_refused(compared):
    out, comparison = compared
    settings = SMALL | {"minibatch_size": None, "epochs": 1}
    before = (out / "clip" / "metrics.jsonl").stat().st_mtime_ns
    again = proximax.compare("probe:matching", ["clip", "penalty"], seeds=3, out=out, **settings)
    assert again == comparison
    assert (out / "clip" / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(StorageError, match="other settings"):
        proximax.compare("probe:matching", ["clip"], seeds=3, out=out, **settings | {"epsilon": 0.3})
    kept = (out / "penalty" / "result.json").rename(out / "kept.json")  # as after a kill before the end
    continued = proximax.compare("probe:matching", ["clip", "penalty"], seeds=3, out=out, **settings)
    kept.rename(out / "penalty" / "result.json")
    for run, before in zip(continued["runs"], comparison["runs"], strict=True):
        assert run | {"wall_s": 0} == before | {"wall_s": 0}


@pytest.mark.slow
def test_runs_that_exist_are_compared_as_they_are(compared, tmp_path):
    out, comparison = compared
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    taken = proximax.compare(runs=[out], out=tmp_path / "x" / "taken", formats=["svg", "pdf"], quiet=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    for run, same in zip(taken["runs"], comparison["runs"], strict=True):
        assert run | {"directories": []} == same | {"directories": []}
        assert run["directories"] == [str(out / run["label"])]
    names = {path.stem for path in (tmp_path / "x" / "taken").iterdir()}
    assert names == {"comparison", "returns", "scores", "improvement", "profiles", "updates"}
    again = tmp_path / "again"
    assert main(["compare", str(out), "--out", str(again), "--format", "svg,pdf", "--quiet"]) == 0
    for path in again.iterdir():
        if path.suffix in (".svg", ".pdf"):
            assert path.read_bytes() == (tmp_path / "x" / "taken" / path.name).read_bytes()


@pytest.mark.slow
def test_what_is_trained_on_several_environments_stands_beside_a_run_that_exists(compared, tmp_path):
    settings = SMALL | {"minibatch_size": None, "epochs": 1}
    envs, old = ["probe:matching", "probe:choice"], {"old": compared[0] / "penalty"}
    comparison = proximax.compare(envs, ["clip"], runs=old, seeds=2, out=tmp_path, **settings)
    assert [(run["env"], run["label"], len(run["seeds"])) for run in comparison["runs"]] == [
        ("probe:matching", "clip", 2),
        ("probe:choice", "clip", 2),
        ("probe:matching", "old", 3),
    ]
    assert [run["directories"][0] for run in comparison["runs"][:2]] == ["probe-matching/clip", "probe-choice/clip"]
    assert comparison["improvement"][0]["envs"] == ["probe:matching"]
    assert (tmp_path / "updates-probe-choice.png").exists()


def test_a_comparison_that_is_interrupted_says_how_it_continues(monkeypatch, capsys, tmp_path):
    def interrupted(*_):
        raise Interrupted(2)

    monkeypatch.setattr("proximax.cli.dispatch.execute_comparison", interrupted)
    assert main(["compare", "probe:choice", "--out", str(tmp_path / "out")]) == 130
    err = capsys.readouterr().err
    assert f"saved in {tmp_path / 'out'}\nnext: the same command continues" in err


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    "label", ["../other", "a/../../b", "/tmp/x", "", "..", "x\n", "returns.png", "comparison.json", 3]
)
def test_a_label_that_leads_out_of_the_comparison_is_refused(label, tmp_path):
    with pytest.raises(UsageError, match="the label"):
        proximax.compare("probe:matching", {"clip": {}, label: {}}, seeds=2, out=tmp_path / "out", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.fault(39)
def test_files_of_a_comparison_take_the_place_of_links_and_a_run_that_is_a_link_is_refused(compared, tmp_path):
    out, comparison = compared
    copy = Path(shutil.copytree(out, tmp_path / "copy"))
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("comparison.json", "comparison.md", "returns.png", "updates.png"):
        (copy / name).unlink()
        (copy / name).symlink_to(victim)
    settings = SMALL | {"minibatch_size": None, "epochs": 1}
    assert proximax.compare("probe:matching", ["clip", "penalty"], seeds=3, out=copy, **settings) == comparison
    assert victim.read_text() == "mine"
    assert (copy / "returns.png").read_bytes().startswith(b"\x89PNG")
    (copy / "clip").rename(tmp_path / "elsewhere")
    (copy / "clip").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="symbolic link"):
        proximax.compare("probe:matching", ["clip", "penalty"], seeds=3, out=copy, **settings)


@pytest.mark.slow
@pytest.mark.fault(24)
def test_a_full_disk_is_answered_with_the_file(compared, monkeypatch):
    out, _ = compared

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("proximax.reports.figures.write_atomically", full)
    settings = SMALL | {"minibatch_size": None, "epochs": 1}
    with pytest.raises(StorageError, match=r"cannot write to .*returns\.png: No space left"):
        proximax.compare("probe:matching", ["clip", "penalty"], seeds=3, out=out, **settings)


def test_all_settings_are_checked_before_anything_is_trained(tmp_path):
    with pytest.raises(UsageError, match="epochs"):
        proximax.compare("probe:matching", ["clip", "a2c"], seeds=2, out=tmp_path / "x", **SMALL | {"epochs": 2})
    with pytest.raises(UsageError, match="at least one"):
        proximax.compare("probe:matching", [], out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_run_that_diverges_stays_in_the_comparison(tmp_path):
    def explode(signals, rates):  # an overflow as soon as the ratios leave 1
        return proximax.maths.surrogate_objective(1e6 * signals.log_ratio, signals.advantage)

    variants = {"explode": {"algo": proximax.Algorithm("explode", explode)}, "clip": {}}
    settings = SMALL | {"minibatch_size": 16, "epochs": 4, "learning_rate": 1e-2}
    comparison = proximax.compare("probe:matching", variants, seeds=2, out=tmp_path / "out", **settings)
    exploded, clip = comparison["runs"]
    assert exploded["stopped_by"] == "diverged"
    assert exploded["algo"] == "custom:explode"
    assert len(exploded["returns"]) == 2
    assert clip["stopped_by"] == "steps"
    assert "(diverged)" in table(comparison)


@pytest.mark.slow
def test_curves_are_thinned_out_but_keep_both_ends(tmp_path):
    settings = SMALL | {"steps": 8 * 300, "num_steps": 1, "minibatch_size": None, "epochs": 1}
    proximax.train("probe:choice", out=tmp_path / "run", preset="none", **settings)
    run = read_run(tmp_path / "run")
    assert len(run["at_steps"]) == 100
    assert (run["at_steps"][0], run["at_steps"][-1]) == (8, 2400)


@pytest.mark.slow
def test_the_command_line_compares_and_names_what_it_does_not_know(tmp_path, capsys):
    arguments = ["compare", "probe:choice", "--algos", "clip,trpo", "--seeds", "2", "--steps", "512", "--quiet"]
    arguments += ["--eval-episodes", "4", "--ppo.num-steps", "32", "--ppo.epochs=1", "--ppo.hidden", "8"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "| trpo |" in out
    config = json.loads((tmp_path / "out" / "trpo" / "config.json").read_text())
    assert (config["ppo"]["num_steps"], config["ppo"]["epochs"], config["ppo"]["hidden"]) == (32, 1, [8])
    assert main(["compare", "probe:choice", "--algos", "clip,klip"]) == 2
    assert "no algorithm 'klip'" in capsys.readouterr().err


ROW = {"update": 1, "steps": 8, "kl": 0.01, "beta": 1.0, "return_last_100": 3.5, "ratio_histogram": [0, 8, 0]}
RUN = {
    "config.json": RunConfig("probe:choice", seeds=2).to_json(),
    "result.json": {"returns": [1.0, None], "steps": 8, "wall_s": 0.5, "stopped_by": "steps"},
    "metrics.jsonl": [ROW | {"seed": 0}, ROW | {"seed": 1, "return_last_100": None}],
}


def lines(rows):
    return "\n".join(map(json.dumps, rows))


def read_run(directory):
    """The numbers of a single run."""
    return summarise(group_runs(find_runs([directory]))[0])


def page(run):
    """A comparison of one run."""
    return {"version": "0", "envs": [run["env"]], "runs": [run], **put_together([run])}


def read(**changed):
    """``read_run`` of the files of ``RUN``, of which some are other text or bytes; None where it refuses them."""
    with tempfile.TemporaryDirectory() as name:
        for file, values in RUN.items():
            text = lines(values) if file == "metrics.jsonl" else json.dumps(values)
            text = changed.get(file.partition(".")[0], text)
            (Path(name) / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        with contextlib.suppress(CheckpointError):
            return read_run(Path(name))


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_a_run_without_one_finite_kl_has_none_in_the_table_and_in_the_json():
    run = read(metrics=lines(row | {"kl": None} for row in RUN["metrics.jsonl"]))
    assert (run["kl"], run["kl_percentiles"]) == ([None], {"50": None, "95": None})
    assert "| n/a (n/a) |" in table(page(run))
    json.dumps(page(run), allow_nan=False)


def test_a_run_whose_files_are_damaged_is_refused_by_name(tmp_path):
    whole = read()
    assert (whole["returns"], whole["mean"], whole["at_steps"]) == ([1.0, None], None, [8])
    with pytest.raises(CheckpointError, match="not a run directory"):
        read_run(tmp_path)
    for bad in ("", "{", "[]", b"\xff", json.dumps({"returns": ["x"]})):
        assert read(result=bad) is None
    for bad in ("", "{", "5", b"\xff", lines([{"seed": 0}]), lines([ROW | {"seed": 0}])):
        assert read(metrics=bad) is None


@pytest.mark.slow
@given(st.sampled_from(["result.json", "metrics.jsonl"]), st.booleans(), st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, at infinities
def test_a_run_with_any_one_part_wrong_is_shown_or_refused(file, bytewise, data):
    values = RUN[file]
    text = (lines(values) if file == "metrics.jsonl" else json.dumps(values)).encode()
    if bytewise:
        text = data.draw(damaged(text))
    elif file == "metrics.jsonl":
        text = lines(data.draw(broken(values)))
    else:
        text = json.dumps(data.draw(broken(values)))
    found = read(**{file.partition(".")[0]: text})
    if found is not None:
        json.dumps(page(found), allow_nan=False)
        assert "| clip |" in table(page(found))
