"""Workers end with the process that started them. Trap 37."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from proximax.envs.workers import watchdog
from tests.support import ROOT
from tests.support.worker_pools import alive

ORPHANS = """
import ctypes, os, signal, threading
import numpy as np
from tests.support.toy_gym import Script
from proximax.envs.workers import vector_env
from proximax.envs.env_checker import EnvReport

vector_env.usable_cores = lambda: [0, 1]

class Stays(Script):
    def step(self, action):
        os.write(1, b"stuck\\n")  # in one piece: both workers write, and print may not be buffered
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if {stuck} == 2:
            ctypes.PyDLL(None).sleep(1000)  # in C code, and keeps Python's lock: no thread of the worker runs
        threading.Event().wait()

tried = EnvReport(0.0, False, [], Script.observation_space, Script.action_space)
env = vector_env.Workers(Script if {stuck} == 0 else Stays, 4, tried)
env.reset(range(4))
print(*(worker.pid for worker in env._workers), flush=True)
if {stuck}:
    env.step(np.zeros(4, int))
signal.pause()
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.trap(37)
@pytest.mark.parametrize("stuck", [0, 1, 2])
def test_no_worker_outlives_a_killed_parent_even_one_that_is_stuck(stuck):
    path = str(ROOT)
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS.format(stuck=stuck)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    for _ in range(2 * bool(stuck)):  # both workers have begun the step that never ends
        assert parent.stdout.readline() == "stuck\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    limit = time.perf_counter() + 5  # what users are promised
    while any(alive(pid) for pid in pids) and time.perf_counter() < limit:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


@pytest.mark.trap(37)
@pytest.mark.parametrize(
    ("seen_alive", "closed", "grace", "killed"),
    [(0, False, 9, []), (3, False, 9, []), (3, True, 9, []), (9, True, 0, [signal.SIGKILL])],
    ids=["it has exited", "it exits by itself", "it exits in time", "it does not"],
)
def test_a_worker_is_killed_only_if_it_outlives_the_end_of_its_commands(seen_alive, closed, grace, killed, monkeypatch):
    worker, sent = 4321, []
    answers = itertools.chain([worker] * seen_alive, itertools.repeat(1))  # then another process adopts the watchdog
    monkeypatch.setattr(os, "getppid", lambda: next(answers))
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", grace)
    monkeypatch.setattr(watchdog, "POLL_SECONDS", 0)
    reading, writing = os.pipe()
    if closed:
        os.close(writing)
    watchdog.watch(worker, reading)
    assert sent == [(worker, number) for number in killed]
    os.close(reading)
    if not closed:
        os.close(writing)
