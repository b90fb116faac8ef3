"""A trace of training: a file that Perfetto opens, with the operations by name, and nothing left switched on."""

import gzip
import json

import pytest

import proximax
from proximax.errors import UsageError
from proximax.runtime.compilation import CPU_OPTIONS, cpu_options


@pytest.mark.optimised
@pytest.mark.slow
def test_a_trace_names_the_operations_of_the_updates(tmp_path, monkeypatch):
    monkeypatch.setattr("proximax.profiling.trace.TRACE_SECONDS", 0.0)  # of one call: enough to name them
    proximax.train(
        "probe:matching", steps=32 * 60, num_envs=2, num_steps=16, minibatch_size=16, epochs=1, quiet=True,
        out=tmp_path / "run", profile=True,
    )  # fmt: skip
    events = json.loads(gzip.decompress((tmp_path / "run" / "profile" / "trace.json.gz").read_bytes()))["traceEvents"]
    names = {event.get("name", "") for event in events if event.get("ph") == "X"}
    assert any("fusion" in name for name in names)
    assert cpu_options() == CPU_OPTIONS


@pytest.mark.slow
def test_a_run_that_ends_in_its_first_call_leaves_no_trace_and_nothing_switched_on(tmp_path):
    settings = {"num_envs": 2, "num_steps": 16, "minibatch_size": 16, "epochs": 1, "quiet": True}
    with pytest.raises(RuntimeError, match="stop here"):
        proximax.train("probe:matching", steps=320, out=tmp_path / "run", profile=True, callbacks=[fail], **settings)
    assert cpu_options() == CPU_OPTIONS


def fail(rows):
    raise RuntimeError("stop here")


def test_a_trace_needs_a_place():
    with pytest.raises(UsageError, match="name one with out"):
        proximax.train("probe:matching", profile=True, quiet=True)
