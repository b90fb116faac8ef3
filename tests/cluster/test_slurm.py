"""A Slurm of one machine with munge: a killed task ends all, and the same command goes on to the same bits."""

import os
import signal
import socket
import subprocess
import time

import pytest

from tests.support.marked_runs import TRAIN, MarkedRun
from tests.support.saved_runs import saved

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.slow]
SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:4 State=UP
"""


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Its daemons, for as long as this module's tests run: (variables of its commands)."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in "state", "spool":
        (folder / name).mkdir()
    key, conf = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    cores = len(os.sched_getaffinity(0))
    conf.write_text(SETTINGS.format(folder=folder, host=host, ports=free_ports(2), cores=cores))
    names = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    names |= {"seed-file": folder / "munge.seed", "log-file": folder / "munge.log"}
    variables = {"SLURM_CONF": str(conf)}
    daemons = []
    try:
        for line in (
            ["munged", "--foreground", "--force", *(f"--{name}={value}" for name, value in names.items())],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D", "-N", host],
        ):
            path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
            daemons.append(
                subprocess.Popen(
                    line,
                    env=os.environ | variables | {"PATH": path},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            time.sleep(1)
        wait_until_idle(variables)
        yield variables
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(20)


def wait_until_idle(variables):
    """Until the machine takes jobs."""
    until, said = time.monotonic() + 60, ""
    while "idle" not in said:
        assert time.monotonic() < until, said
        time.sleep(0.5)
        ran = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=os.environ | variables, capture_output=True, text=True, check=False
        )
        said = ran.stdout + ran.stderr


@pytest.fixture
def start(slurm, program, tmp_path):
    """Starts two tasks."""
    line = [program("srun"), "-n", "2", "--overcommit", "--kill-on-bad-exit=1"]
    return lambda *more: MarkedRun(tmp_path, " ".join([TRAIN.format(shards=2), *more]), line, **slurm)


@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_task_that_is_killed_or_stopped_ends_all_and_the_run_goes_on(start, rank, number, undisturbed, tmp_path):
    with start() as run:
        run.wait(run.saved)
        os.kill(run.ranks("SLURM_PROCID")[rank], number)
        ended = run.finish(120)
    assert ended.code != 0
    with start("--resume auto") as run:
        run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_job_that_is_preempted_saves_and_goes_on(start, slurm, undisturbed, tmp_path):
    with start() as run:
        run.wait(run.saved)
        subprocess.run(["scancel", "--signal=TERM", "--user=root"], env=os.environ | slurm, check=True)
        ended = run.finish(120)
    assert ended.code == 143
    assert "saved in run" in ended.err
    with start("--resume auto") as run:
        run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)
