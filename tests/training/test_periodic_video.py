"""When a run records videos: after true crossings, each update once, and at the end."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.errors import EnvError
from proximax.training import periodic_video
from proximax.training.periodic_video import PeriodicVideo

CONFIG = RunConfig("x", steps=10 * 16, num_envs=2, ppo=PPOConfig(num_steps=8, minibatch_size=8), video_every=50)
STATE = SimpleNamespace(params={"w": np.zeros((2, 3))}, obs_moments=())


@pytest.fixture
def recorded(monkeypatch):
    """The names of the files that would be recorded."""
    names = []

    class Fake:
        env = SimpleNamespace(close=lambda: names.append("closed"))

        def record(self, path, policy, seed):
            names.append(path.name)

    monkeypatch.setattr(periodic_video, "VideoRecorder", lambda *_: Fake())
    return names


def test_videos_are_of_the_updates_that_pass_a_multiple_and_of_the_last(recorded, tmp_path):
    video = PeriodicVideo(CONFIG, None, None, tmp_path)
    assert [video.next_update(update) for update in (0, 3, 4, 6, 7, 9)] == [4, 4, 7, 7, 10, 10]
    paths = [video.after_update(STATE, update) for update in range(11)]
    assert [path.name for path in paths if path] == ["064.mp4", "112.mp4", "160.mp4"]
    assert video.after_update(STATE, 10) is None  # a run resumed after it
    assert video.at_end(STATE, 10) is None
    video.close()
    assert recorded == ["064.mp4", "112.mp4", "160.mp4", "closed"]


def test_the_last_policy_is_recorded_where_no_multiple_was_passed(recorded, tmp_path):
    video = PeriodicVideo(replace(CONFIG, video_every=10**6), None, None, tmp_path)
    assert video.next_update(3) == 10
    video.after_update(STATE, 10)
    assert video.at_end(STATE, 10) == tmp_path / "videos" / "160.mp4"
    assert recorded == ["160.mp4"]


@pytest.mark.parametrize("video_every", [None, 50])
def test_without_an_interval_or_a_directory_nothing_is_recorded(video_every, recorded, tmp_path):
    video = PeriodicVideo(
        replace(CONFIG, video_every=video_every), None, None, tmp_path if video_every is None else None
    )
    assert video.next_update(3) == 10
    video.after_update(STATE, 4)
    video.at_end(STATE, 10)
    video.close()
    assert recorded == []


def test_a_video_that_fails_is_a_warning_and_no_end_of_the_run(tmp_path, monkeypatch, capsys):
    class Fails:
        def record(self, *_):
            raise EnvError("no screen")

    monkeypatch.setattr(periodic_video, "VideoRecorder", lambda *_: Fails())
    assert PeriodicVideo(CONFIG, None, None, tmp_path).after_update(STATE, 4) is None
    assert capsys.readouterr().err == "proximax: warning: no video at 64 steps: no screen\n"
