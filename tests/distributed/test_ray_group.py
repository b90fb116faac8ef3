"""Ray, played by objects: what a worker makes of its process's end, and what the command makes of Ray's."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from proximax.distributed import ray_group as module
from proximax.distributed.child import Child
from proximax.distributed.ray_group import Verdict, connect, import_ray, supervise_with_ray
from proximax.distributed.supervisor import Launch
from proximax.errors import DependencyError, DistributedError


class FailedError(Exception):
    """Ray Train's."""


def fake_ray(verdict):
    actor = SimpleNamespace(get=SimpleNamespace(remote=verdict.get), say=SimpleNamespace(remote=verdict.say))
    options = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: actor))
    started = []
    return SimpleNamespace(
        remote=lambda _: options,
        get=lambda value: value,
        is_initialized=lambda: bool(started),
        init=lambda **settings: started.append(settings),
        shutdown=started.clear,
        started=started,
    )


@pytest.fixture
def groups(monkeypatch):
    """What each worker group does, in turn; returns (these, Ray, what it was told)."""
    verdict, turns = Verdict(), []
    ray = fake_ray(verdict)
    monkeypatch.setattr(module, "import_ray", lambda: (ray, SimpleNamespace(TrainingFailedError=FailedError)))
    monkeypatch.setattr(module, "make_trainer", lambda *_: SimpleNamespace(fit=lambda: turns.pop(0)()))
    return turns, ray, verdict


def launch(*checkpoints):
    names = iter(checkpoints)
    return Launch(["first"], ["again"], 2, lambda: next(names, checkpoints[-1]), "proximax train --resume")


def fail():
    raise FailedError("many lines\nrank 1 was killed")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r'pip install "ray\[train\]"'):
        import_ray()


def test_a_group_that_ends_well_and_one_that_ends_by_its_own_error(groups):
    turns, ray, verdict = groups
    turns += [lambda: None, lambda: verdict.say(3)]
    assert supervise_with_ray(launch(""), None) == 0
    assert supervise_with_ray(launch(""), None) == 3
    verdict.say(2)
    assert verdict.get() == 3
    assert not ray.started


def test_progress_allows_more_failures_than_rays_and_none_ends_it(groups, capfd):
    turns, *_ = groups
    turns += [fail, fail]
    with pytest.raises(DistributedError, match=r"rank 1 was killed. Given up after 3 .* is step-2. next: proximax"):
        supervise_with_ray(launch("", "step-2"), None)
    assert "starting again, the newest checkpoint is step-2" in capfd.readouterr().err


def test_a_cluster_that_cannot_be_reached_is_named(groups, monkeypatch):
    _, ray, _ = groups

    def refuse(**_):
        raise ConnectionError("no cluster there\nmore")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(DistributedError, match="Ray at head:6379 cannot be used: no cluster there"):
        connect(ray, "head:6379", 2)


@pytest.mark.process
def test_a_worker_returns_the_exit_code_and_names_a_process_that_is_stuck(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    child = Child([sys.executable, "-S", "-c", "raise SystemExit(3)"], 1, {}, tmp_path, str(Path.cwd()))
    assert module.wait_for(child) == 3
    child = Child([sys.executable, "-S", "-c", "import time; time.sleep(60)"], 1, {}, tmp_path)
    monkeypatch.setattr(Child, "stuck_for", lambda _: 50.0)
    try:
        with pytest.raises(RuntimeError, match="rank 1 is stuck: no progress for 50 s"):
            module.wait_for(child)
    finally:
        child.kill()
