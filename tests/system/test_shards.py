"""Several processes that share the shards of a run learn to the bit what one process learns."""

import socket
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.cli_process import PIPES, environment, finish
from tests.support.saved_runs import saved
from tests.support.shard_runs import CASES

pytestmark = [pytest.mark.process, pytest.mark.slow]


def start_processes(size, *arguments):
    """So many processes that train together, on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    together = {"PROXIMAX_SIZE": str(size), "PROXIMAX_COORDINATOR": f"127.0.0.1:{port}"}
    line = [sys.executable, "-m", "tests.support.shard_runs", *map(str, arguments)]
    return [
        subprocess.Popen(
            line, cwd=ROOT, env=environment() | together | {"PROXIMAX_RANK": str(rank)}, text=True, **PIPES
        )
        for rank in range(size)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The runs of ``shard_runs``, made by one process and then by two."""
    folder = tmp_path_factory.mktemp("runs")
    for size, name in (1, "one"), (2, "two"):
        for process in start_processes(size, name, folder):
            ran = finish(process, 300)
            assert ran.code == 0, ran.err
    return folder


@pytest.mark.parametrize("case", CASES)
@pytest.mark.trap(38)
def test_two_processes_learn_to_the_bit_what_one_learns(runs, case):
    one, two = (saved(runs / case / name) for name in ("whole", "pair"))
    assert len(one[1]) == 6 * (2 if case == "jax" else 1)
    assert two == one


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_with_another_number_of_processes_to_the_bit(runs, case):
    assert saved(runs / case / "continued") == saved(runs / case / "whole")
