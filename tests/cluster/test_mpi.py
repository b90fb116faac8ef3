"""Open MPI and MPICH: a process that is killed or stopped ends all, and the same command goes on to the same bits."""

import os
import signal

import pytest

from tests.support.marked_runs import TRAIN, MarkedRun
from tests.support.saved_runs import saved

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.slow]
MPIRUN = {
    "openmpi": ("mpirun.openmpi", ["--oversubscribe"], "OMPI_COMM_WORLD_RANK"),
    "mpich": ("mpirun.mpich", [], "PMI_RANK"),
}
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@pytest.fixture(params=MPIRUN)
def start(request, program, tmp_path):
    """Starts two processes: (this, the variable of the rank)."""
    name, flags, variable = MPIRUN[request.param]
    line = [program(name), "-n", "2", *flags]
    return lambda *more: MarkedRun(tmp_path, " ".join([TRAIN.format(shards=2), *more]), line, **AS_ROOT), variable


@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_process_that_is_killed_or_stopped_ends_all_and_the_run_goes_on(start, rank, number, undisturbed, tmp_path):
    begin, variable = start
    with begin() as run:
        run.wait(run.saved)
        os.kill(run.ranks(variable)[rank], number)
        ended = run.finish(120)
    assert ended.code != 0
    with begin("--resume auto") as run:
        run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_process_that_is_preempted_lets_all_save(start, undisturbed, tmp_path):
    begin, variable = start
    with begin() as run:
        run.wait(run.saved)
        os.kill(run.ranks(variable)[1], signal.SIGTERM)
        ended = run.finish(120)
    assert ended.code == 143
    assert "saved in run" in ended.err
    with begin("--resume auto") as run:
        run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)
