"""``--launch local`` and ``mpirun``: several processes of the command line, one of them killed."""

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.cli_process import finish, start
from tests.support.saved_runs import saved

TRAIN = (
    "train CartPole-v1 --preset none --shards 2 --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 16 --ppo.hidden 8 "
    "--ppo.epochs 2 --steps 5120 --checkpoint-every 640 --eval-episodes 2 --out"
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run by one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(f"{TRAIN} run", folder)).fine()
    return saved(folder / "run")


def ranks_of(parent):
    """The processes that ``parent`` has started: rank -> number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                variables = (folder / "environ").read_bytes().decode().split("\0")
                found |= {int(x.partition("=")[2]): int(folder.name) for x in variables if x[:14] == "PROXIMAX_RANK="}
    return found


def wait(condition):
    until = time.monotonic() + 60
    while not (value := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    assert value
    return value


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="the processes are found in /proc")
def test_a_killed_process_costs_no_bit(undisturbed, tmp_path):
    run = start(f"{TRAIN} run --launch local --workers 2", tmp_path)
    wait(lambda: list(tmp_path.glob("run/checkpoints/step-*")))
    os.kill(ranks_of(run.pid)[1], signal.SIGKILL)
    ended = finish(run)
    ended.fine("rank 1 was killed by SIGKILL", "starting again, the newest checkpoint is run/checkpoints/step-")
    assert saved(tmp_path / "run") == undisturbed


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="the processes are found in /proc")
def test_no_process_outlives_the_one_that_watches(tmp_path):
    run = start(f"{TRAIN} run --launch local --workers 2", tmp_path)
    ranks = wait(lambda: len(found := ranks_of(run.pid)) == 2 and found)
    run.kill()
    run.wait()
    wait(lambda: not any(is_running(pid) for pid in ranks.values()))


def is_running(pid):
    """Whether a process is there, and no corpse."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.exhaustive  # tests/cluster has more of it
@pytest.mark.skipif(not shutil.which("mpirun"), reason="Open MPI is not installed")
def test_mpirun_starts_a_training(undisturbed, tmp_path, monkeypatch):
    for name in "OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM":
        monkeypatch.setenv(name, "1")
    ran = finish(start(f"{TRAIN} run", tmp_path, before=("mpirun", "-n", "2", "--oversubscribe")))
    ran.fine("ranks 0-1")
    assert saved(tmp_path / "run") == undisturbed
