"""What the commands print. Fault 52."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from proximax.cli.dispatch import main
from proximax.cli.output import bench_table, bottleneck_advice, mean_curve, preset_lines, run_argument, score_line
from proximax.config import PRESETS, RunConfig
from proximax.envs import EnvId
from proximax.evaluation import summarise_returns
from proximax.profiling import ThroughputReport


def test_the_training_curve_is_the_mean_over_seeds():
    rows = [{"update": u, "seed": s, "return_last_100": x} for u, s, x in [(1, 0, None), (1, 1, 2.0)]]
    rows += [
        {"update": u, "seed": s, "return_last_100": x}
        for u, s, x in [(2, 0, 4.0), (2, 1, 8.0), (3, 0, 5.0), (3, 1, 9.0)]
    ]
    assert mean_curve(rows) == [6.0, 7.0]


@pytest.mark.fault(52)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_stream_that_takes_few_characters_gets_what_it_can_take(encoding, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["presets"]) == 0
    assert main(["eval", "β→"]) == 4
    assert (out.errors, err.errors) == ("strict", "strict")  # as they were
    for stream in (out, err):
        stream.flush()
    assert b"CartPole-v1" in out.buffer.getvalue()
    assert b"error[E4]: " in err.buffer.getvalue()
    assert b"config.json is missing" in err.buffer.getvalue()


def test_the_next_command_is_one_that_works():
    """Quoted for the shell, and with the consent without which the run's package would not be imported."""
    assert run_argument(RunConfig("gymnasium:CartPole-v1"), Path("runs/a")) == "runs/a"
    assert run_argument(RunConfig("gymnasium:mine:Env-v0"), Path("my runs/a")) == "'my runs/a' --allow-import"
    assert run_argument(RunConfig("gymnax:CartPole-v1"), Path("runs/a")) == "runs/a"


def test_names_of_presets_are_never_cut_and_nothing_is_lost_at_any_width():
    table = preset_lines(None)
    assert len(table) == 1 + len(PRESETS)  # a line each in a pipe or file
    for width in (20, 50, 80, 100, 120, 300):
        lines = preset_lines(width)
        words = " ".join(lines).split()
        assert sorted(words) == sorted(" ".join(table).split())
        for name, preset in PRESETS.items():
            (line,) = [line for line in lines if line.startswith(f"{name} ")]
            assert line.split()[:3] == [name, EnvId.parse(preset.env).display, f"{preset.steps:,}"]
        if width >= 73:
            assert max(map(len, lines)) <= width


def test_scores_have_as_many_digits_as_they_need():
    tiny = summarise_returns(np.array([3e-5, 5e-5, 4e-5]))
    assert score_line(tiny, 3, 1).startswith("return    mean 4e-5 over 1 evaluation episodes of each of 3 seeds (95 % ")
    assert score_line(summarise_returns(np.array([500.0])), 1, 2).startswith("return    mean 500 over 2 ")


def test_no_part_of_a_benchmark_is_in_scientific_notation_or_vanishes():
    parts = {"environment": 12.3456, "acting": 3e-6, "learning": 0.5}
    slow = ThroughputReport(2048, 20.0, parts, operations=10**6, product=1e12, rollout_bytes=10**5, learning_bytes=2000)
    cells = [cell for column in bench_table(slow).columns for cell in column.cells]
    assert {"12,346", "0.003", "500", "20,000"} <= set(cells)
    advice = bottleneck_advice(slow)
    assert "learning reaches 0.002 GFLOP/s, 0% of a large matrix product's 1,000" in advice
    assert "a rollout 0.1 MB, learning 0.002 MB beside it" in advice
