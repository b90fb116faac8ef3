"""What the commands print. Fault 52."""

import io
import sys
from pathlib import Path

import pytest

from proximax.cli.dispatch import main
from proximax.cli.output import mean_curve, run_argument
from proximax.config import RunConfig


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
