"""Ray itself: processes, workers, the command and a machine lost; a cluster that is too small, one with a token."""

import importlib.util
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.marked_runs import TRAIN, MarkedRun, bytes_of
from tests.support.saved_runs import saved

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.slow]
TWO = f"{TRAIN.format(shards=2)} --launch ray --workers 2"


@pytest.fixture(autouse=True)
def installed():
    """Ray is installed."""
    assert importlib.util.find_spec("ray"), "Ray is not installed: make test-cluster installs what these tests need"


def parent_of(pid):
    return int(bytes_of(pid, "stat").decode().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("victim", ["process", "worker of Ray"])
def test_a_process_or_its_worker_of_ray_is_killed(victim, undisturbed, tmp_path):
    with MarkedRun(tmp_path, TWO) as run:
        run.wait(run.saved, 300)
        pid = run.ranks()[1]
        os.kill(pid if victim == "process" else parent_of(pid), signal.SIGKILL)
        run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_signal_to_the_command_lets_all_save(undisturbed, tmp_path):
    with MarkedRun(tmp_path, TWO) as run:
        run.wait(run.saved, 300)
        run.process.terminate()
        ended = run.finish(120)
    assert ended.code == 143
    assert "saved in run" in ended.err
    with MarkedRun(tmp_path, f"{TWO} --resume auto") as run:
        run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)


def test_no_process_outlives_a_command_that_is_killed(tmp_path):
    with MarkedRun(tmp_path, TWO) as run:
        run.wait(run.saved, 300)
        run.process.kill()
        assert run.finish(120).code == -signal.SIGKILL


def test_a_training_that_fails_again_and_again_is_given_up(tmp_path):
    """The first process of each start is killed before it has saved anything new."""
    with MarkedRun(tmp_path, TWO.replace("--checkpoint-every 640", "--checkpoint-every 1000000")) as run:
        killed = set()

        def kill_next():
            for pid in set(run.ranks().values()) - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            return run.process.poll() is not None

        with pytest.raises(AssertionError):  # ``wait`` ends with the run
            run.wait(kill_next, 150)
        run.finish(240).fault(8, "Given up after 3 failures", "there is no checkpoint", "next: proximax train")


CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(int(sys.argv[1]))]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("removed", flush=True)
cluster.shutdown()
"""


@contextmanager
def cluster(folder, nodes, **variables):
    """A simulated cluster of a head and ``nodes`` more machines, one CPU each: (its address, removes a machine)."""
    script = Path(folder, "cluster.py")
    script.write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(script), str(nodes)],
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"} | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def remove():
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "removed\n"

    try:
        yield process.stdout.readline().strip(), remove
    finally:
        process.stdin.close()
        process.wait(60)


def test_a_cluster_that_loses_a_machine_goes_on_with_fewer_processes(undisturbed, tmp_path):
    """Two of three machines are left: of two workers, as four shards want."""
    with cluster(tmp_path, 2) as (address, remove):
        line = f"{TRAIN.format(shards=4)} --launch ray --workers 1-4 --address {address}"
        with MarkedRun(tmp_path, line) as run:
            run.wait(run.saved, 300)
            before = run.ranks()
            remove()
            run.finish(300).fine("2 processes, 4 shards", "resumed at")
            assert len(before) == 2
    assert saved(tmp_path / "run") == undisturbed(4)


def test_a_cluster_that_is_too_small_is_named_and_given_up(undisturbed, tmp_path):
    with cluster(tmp_path, 1) as (address, remove):
        line = f"{TRAIN.format(shards=2)} --launch ray --workers 2 --address {address}"
        with MarkedRun(tmp_path, line, PROXIMAX_START_SECONDS="40") as run:
            run.wait(run.saved, 300)
            remove()
            ended = run.finish(240)
        ended.fault(8, "at least 2 workers", "the cluster has 1 CPU,", "the newest checkpoint is", "next: proximax")
        assert "waiting for Ray: at least 2 workers" in ended.err
        with MarkedRun(tmp_path, f"{TRAIN.format(shards=2)} --resume auto") as run:
            run.finish().fine("resumed at")
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_cluster_that_wants_a_token_takes_who_has_it_and_names_it_to_others(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # no token of the user's
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-of-this-test-0123456789abcdef"}
    with cluster(tmp_path, 1, **token) as (address, _):
        line = f"{TWO} --address {address}"
        with MarkedRun(tmp_path, line, RAY_AUTH_MODE="disabled") as run:
            run.finish(240).fault(8, f"Ray at {address} cannot be used")
        with MarkedRun(tmp_path, line, **token) as run:
            run.finish().fine("2 processes")
    assert saved(tmp_path / "run") == undisturbed(2)
