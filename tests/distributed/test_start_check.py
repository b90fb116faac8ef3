"""The check at the start, in one process: several are in tests/system/test_shards.py."""

import os

import numpy as np
import pytest

from proximax.distributed import start_check
from proximax.distributed.place import Place
from proximax.errors import DependencyError, DistributedError, UsageError
from tests.support.process_facts import facts

PLACE = Place(0, 2, "127.0.0.1:23000")


def test_processes_that_differ_are_refused_and_processors_are_a_note():
    agreement = start_check.compared([facts(), facts(settings="cd")], 2)
    assert "settings (a digest of config.json): ab in rank 0, cd in rank 1" in agreement.refused
    agreement = start_check.compared([facts(), facts(features=["sse"])], 2)
    assert agreement.refused == ""
    assert agreement.cores == [[0], [1]]
    assert "rank 1 without avx" in agreement.notes[1]


def test_the_small_update_is_repeatable():
    numbers, digest = start_check.small_update(1)
    assert numbers.tolist() == [0]
    assert start_check.small_update(1)[1] == digest


@pytest.mark.parametrize(
    ("numbers", "digests", "other", "error", "text"),
    [
        ([0, 1], [b"a", b"a"], b"aa", None, ""),
        ([0, 0], [b"a", b"a"], b"aa", DistributedError, "wrong numbers"),
        ([0, 1], [b"a", b"b"], b"aa", DependencyError, "rank 0: the same update"),
        ([0, 1], [b"a", b"a"], b"ab", DependencyError, "rank 1: the same update"),
        ([0, 1], [b"a", b"a"], b"bb", UsageError, "rank 1 of 2 compute other bits"),
    ],
)
def test_each_fault_is_named(monkeypatch, numbers, digests, other, error, text):
    updates = iter(digests)
    monkeypatch.setattr(start_check, "small_update", lambda _: (np.array(numbers), next(updates)))

    def from_processes(x):
        second = np.frombuffer(other, np.uint8) if x.dtype == np.uint8 else x + 1
        return np.stack([x, second])

    monkeypatch.setattr(start_check, "from_processes", from_processes)
    if error is None:
        start_check.check_computation(PLACE, 2)
    else:
        with pytest.raises(error, match=text):
            start_check.check_computation(PLACE, 2)


def test_what_native_code_prints_at_the_first_collective_stays_off_stdout(capfd):
    with start_check.without_native_output():
        os.write(1, b"[Gloo] Rank 0 is connected")
    os.write(1, b"ours")
    assert capfd.readouterr().out == "ours"
