"""Cores of the processes of one machine."""

import os

import pytest

from proximax.distributed.cores import cores_of_ranks, cores_text, divide, use_cores
from tests.support.process_facts import facts


@pytest.mark.parametrize(
    ("cores", "parts", "expected"),
    [
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]),
        ([0, 2, 1], 2, [[0], [2, 1]]),
        ([4], 3, [[4], [4], [4]]),
    ],
)
def test_cores_are_divided_evenly_or_shared(cores, parts, expected):
    assert divide(cores, parts) == expected


def test_each_machine_divides_its_own_and_what_a_launcher_has_divided_stays():
    ranks = [facts(), facts(), facts(machine="b 2", cores=[0]), facts(machine="b 2", cores=[1])]
    cores = cores_of_ranks(ranks)
    assert cores == [[0], [1], [0], [1]]
    text = "4 processes, 8 shards. head: ranks 0-1, 1 core each; b: ranks 2-3, 1 core each"
    assert cores_text(ranks, cores, 8) == text


def test_more_processes_than_cores_are_named():
    ranks = [facts(), facts(), facts()]
    assert "ranks 0-2, 2 cores in all: fewer than processes" in cores_text(ranks, cores_of_ranks(ranks), 3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on a core")
def test_a_process_keeps_to_its_cores():
    before = os.sched_getaffinity(0)
    try:
        use_cores([min(before)])
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)
