"""Videos: what is in the files, that they show the game that was played, and that filming leaves training as it is."""

import json
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import proximax
from proximax.cli.dispatch import main
from proximax.envs import env_seeds
from proximax.errors import DependencyError, ProximaxError, StorageError, UsageError
from proximax.evaluation.evaluator import evaluation_seed
from proximax.evaluation.recording import VideoRecorder
from proximax.evaluation.video_encoding import FrameComposer
from proximax.runs.checkpoint import POLICY
from tests.support.saved_runs import newest
from tests.support.toy_gym import Drawn, Fixed
from tests.support.videos import decode, decode_gif, read

QUICK = {"num_steps": 16, "num_envs": 2, "minibatch_size": 32, "epochs": 1, "eval_episodes": 2, "quiet": True}
PONG = {"frame_cap": 602, "network": "mlp", "hidden": (8,)}  # 151 steps, the last of them two frames


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "cartpole"
    proximax.train("CartPole-v1", steps=64, seeds=2, out=path, preset="none", **QUICK)
    return path


@pytest.fixture(scope="module")
def pong(tmp_path_factory):
    pytest.importorskip("ale_py")
    path = tmp_path_factory.mktemp("runs") / "pong"
    proximax.train("ALE/Pong-v5", steps=32, out=path, preset="none", **QUICK, **PONG)
    return path


# ---------------------------------------------------------------- what is in the files


@pytest.mark.process
@pytest.mark.slow
def test_an_atari_video_has_every_frame_in_colour_and_shows_the_return_of_the_evaluation(pong):
    made = proximax.video(pong)
    assert made.path == pong / "videos" / "policy-0-episode-0.mp4"
    assert made.returns == proximax.evaluate(pong, 1).returns[0].tolist()
    assert made.returns[0] < 0
    frames, fps = decode(made.path)
    assert (made.fps, made.lengths, made.cut) == (fps, [151], False) == (60, [151], False)
    assert made.frames == len(frames) == 1 + 602 + 60  # the opening, the game, a second of its end
    canvas = FrameComposer((210, 160, 3), "Pong-v5")
    assert frames.shape[1:] == (canvas.height, canvas.width, 3) == (canvas.caption_height + 630, 480, 3)
    assert read(frames[-1], canvas, range(-9, 9), range(149, 154)) == (made.returns[0], 151)
    assert read(frames[0], canvas, range(-9, 9), range(2)) == (0, 0)
    ground = frames[300, canvas.caption_height + 300, 240].astype(int)  # Pong's brown
    assert np.abs(ground - (144, 72, 17)).max() < 12


@pytest.mark.slow
def test_a_gif_of_a_game_has_a_frame_for_each_step_and_the_same_return(pong, tmp_path):
    made = proximax.video(pong, tmp_path / "game.gif")
    assert made.returns == proximax.evaluate(pong, 1).returns[0].tolist()
    assert made.fps == 15
    assert made.frames == 1 + 151 + 15
    frames, ms = decode_gif(made.path)
    assert abs(ms.sum() - 1000 * made.frames / 15) <= 10
    assert read(frames[-1], FrameComposer((210, 160, 3), "Pong-v5"), range(-9, 9), [150, 151]) == (made.returns[0], 151)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_gymnasium_video_runs_at_the_environments_rate(cartpole, tmp_path, suffix):
    made = proximax.video(cartpole, tmp_path / f"film{suffix}", agent_seed=1, seed=3)
    assert made.returns == [float(n) for n in made.lengths]
    assert made.fps == 50
    assert made.frames == 1 + made.lengths[0] + 50
    if suffix == ".mp4":
        frames, fps = decode(made.path)
        assert fps == 50
        assert len(frames) == made.frames
    else:
        frames, ms = decode_gif(made.path)
        assert ms.sum() == 20 * made.frames
    canvas = FrameComposer((400, 600, 3), "CartPole-v1")
    assert frames.shape[1:] == (canvas.caption_height + 400, 600, 3)
    n = made.lengths[0]
    assert read(frames[-1], canvas, range(n - 2, n + 3), range(n - 2, n + 3)) == (n, n)


@pytest.mark.slow
def test_the_seeds_choose_policy_and_episode_and_a_sample_can_be_drawn(cartpole, tmp_path):
    def lengths(**how):
        return proximax.video(cartpole, tmp_path / "x.mp4", **how).lengths

    plain = [lengths(agent_seed=a, seed=s) for a in (0, 1) for s in (0, 1)]
    assert len({str(x) for x in plain}) > 1
    assert lengths(agent_seed=1, seed=1) == plain[3]
    assert lengths(sample=True, agent_seed=1, seed=1) != plain[3]
    with pytest.raises(ProximaxError, match="no seed 7"):
        lengths(agent_seed=7)


def agent_of(env):
    return proximax.train(env, steps=32, **QUICK).agent


@pytest.mark.process
@pytest.mark.slow
def test_episodes_follow_one_another_each_from_its_opening_to_the_state_it_reached(tmp_path):
    agent = agent_of(Fixed)
    made = proximax.video(agent, tmp_path / "x.mp4", env=Drawn, episodes=2)
    assert (made.returns, made.lengths, made.cut) == ([3, 3], [3, 3], False)
    frames, fps = decode(made.path)
    assert fps == 10
    assert frames.shape[1:] == (FrameComposer((20, 31, 3), "").height, 31 * 15 + 1, 3)
    middle = frames[:, -150, 200].astype(int)
    wanted = [(50 * t, 40 * e, 0) for e in (0, 1) for t in [0, 1, 2, 3] + [3] * 10]
    assert np.abs(middle - wanted).max() <= 8


@pytest.mark.slow
def test_a_video_is_cut_after_so_many_seconds(tmp_path, pong):
    made = proximax.video(pong, tmp_path / "x.mp4", seconds=2)
    assert (made.lengths, made.cut, made.frames) == ([30], True, 1 + 120 + 60)
    assert proximax.video(pong, tmp_path / "x.mp4", seconds=2, episodes=3).cut


@pytest.mark.process
@pytest.mark.slow
def test_mujoco_is_drawn_where_opengl_works(tmp_path):
    pytest.importorskip("mujoco")
    agent = agent_of("InvertedPendulum-v5")
    try:
        made = proximax.video(agent, tmp_path / "x.mp4", env="InvertedPendulum-v5", seconds=0.1)
    except DependencyError as error:
        pytest.skip(str(error))
    frames, _ = decode(made.path)
    assert len(np.unique(frames[-1].reshape(-1, 3), axis=0)) > 100


# ---------------------------------------------------------------- while training


@pytest.mark.process
@pytest.mark.slow
def test_videos_change_nothing_in_training(tmp_path, capsys):
    for name, how in (("with", {"video_every": 50}), ("without", {})):
        proximax.train("CartPole-v1", steps=32 * 5, preset="none", out=tmp_path / name, **QUICK, **how)
    policies = [newest(tmp_path / name, POLICY).read_bytes() for name in ("with", "without")]
    assert policies[0] == policies[1]
    rows = [[json.loads(line) for line in (tmp_path / name / "metrics.jsonl").open()] for name in ("with", "without")]
    for each in rows[0] + rows[1]:
        del each["time_s"]
    assert rows[0] == rows[1]
    films = sorted((tmp_path / "with" / "videos").iterdir())
    assert [path.name for path in films] == ["064.mp4", "128.mp4", "160.mp4"]
    assert len(decode(films[-1])[0]) > 50
    assert not (tmp_path / "without" / "videos").exists()
    assert json.loads((tmp_path / "with" / "config.json").read_text())["video_every"] == 50
    last = proximax.video(tmp_path / "with", tmp_path / "again.mp4")
    assert last.path.read_bytes() == films[-1].read_bytes()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_video_that_fails_is_told_and_training_goes_on(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise StorageError("disk full")

    monkeypatch.setattr(VideoRecorder, "record", fail)
    result = proximax.train("CartPole-v1", steps=32, preset="none", out=tmp_path / "run", video_every=32, **QUICK)
    assert result.stopped_by == "steps"
    assert capsys.readouterr().err.count("warning: no video at 32 steps: disk full") == 1


@pytest.mark.parametrize(
    ("env", "message"),
    [("probe:matching", "does not render frames"), (Fixed, "its render_mode is None"), ("vector", "give an id")],
)
def test_what_cannot_be_filmed_is_refused_before_training(env, message, tmp_path):
    env = gymnasium.make_vec("CartPole-v1", 2) if env == "vector" else env
    with pytest.raises(UsageError, match=f"(?i){message}"):
        proximax.train(env, steps=32, out=tmp_path / "run", video_every=32, **QUICK)
    assert not (tmp_path / "run").exists()


def test_videos_of_a_training_run_need_a_place_and_a_number():
    with pytest.raises(UsageError, match="video_every: its files are in the run directory"):
        proximax.train("CartPole-v1", steps=32, video_every=10, **QUICK)
    with pytest.raises(UsageError, match="video_every = 0"):
        proximax.train("CartPole-v1", steps=32, video_every=0, **QUICK)


# ---------------------------------------------------------------- refused


def test_wrong_arguments_are_refused(cartpole, tmp_path):
    agent = proximax.load(cartpole)
    for arguments, how, message in (
        ((cartpole, "film.avi"), {}, "ends in .mp4 or .gif, not '.avi'"),
        ((cartpole, "film"), {}, "not 'without ending'"),
        ((cartpole,), {"episodes": 0}, "episodes = 0: must be an integer >= 1"),
        ((cartpole,), {"seconds": 0}, "seconds = 0: must be a number > 0"),
        ((agent,), {}, "an Agent does not know its environment"),
        ((cartpole, tmp_path / "x.mp4"), {"env": "object:thing"}, "was an object"),
        ((cartpole, tmp_path / "x.mp4"), {"env": Drawn}, "observation space"),
    ):
        with pytest.raises(ProximaxError, match=message):
            proximax.video(*arguments, **how)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_films_a_run(cartpole, tmp_path, capsys):
    out = tmp_path / "film.gif"
    assert main(["video", str(cartpole), "--out", str(out), "--episodes", "2", "--seed", "4", "--deterministic"]) == 0
    said = capsys.readouterr().out
    assert said.count("return ") == 2
    assert f"{out}: " in said
    assert "at 50 frames per second" in said
    assert out.exists()
    assert main(["video", str(cartpole), "--seconds", "0.1"]) == 0
    assert "in 5 steps, truncated there: --seconds records more" in capsys.readouterr().out
    assert len(list((cartpole / "videos").iterdir())) == 1
    assert main(["video", str(cartpole), "--out", "film.avi"]) == 2
    assert main(["video", str(tmp_path / "nowhere")]) == 4
    assert main(["video", str(cartpole), "--stochastic", "--deterministic"]) == 2


def test_the_command_does_not_import_what_only_a_config_names(cartpole, tmp_path, capsys):
    run = shutil.copytree(cartpole, tmp_path / "run")
    values = json.loads((run / "config.json").read_text()) | {"env": "gymnasium:strange_package:Env-v0"}
    (run / "config.json").write_text(json.dumps(values))
    assert main(["video", str(run)]) == 2
    assert "--allow-import" in capsys.readouterr().err


@pytest.mark.fault(39)
def test_a_video_of_a_run_stays_in_the_run(cartpole, tmp_path):
    run = Path(shutil.copytree(cartpole, tmp_path / "run", ignore=shutil.ignore_patterns("videos")))
    (tmp_path / "outside").mkdir()
    (run / "videos").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="videos is a symbolic link"):
        proximax.video(run, seconds=0.1)
    assert list((tmp_path / "outside").iterdir()) == []
    (run / "videos").unlink()
    (run / "videos").mkdir()
    (tmp_path / "victim").write_text("mine")
    for name in ("policy-0-episode-0.mp4", ".unfinished-policy-0-episode-0.mp4"):
        (run / "videos" / name).symlink_to(tmp_path / "victim")
    recorded = proximax.video(run, seconds=0.1)
    assert (tmp_path / "victim").read_text() == "mine"
    assert recorded.path.is_file()
    assert not recorded.path.is_symlink()


@pytest.mark.slow
def test_train_films_when_asked(tmp_path):
    small = ["--num-envs", "2", "--ppo.num-steps", "16", "--ppo.minibatch-size", "32", "--steps", "64", "--quiet"]
    arguments = ["train", "CartPole-v1", *small, "--eval-episodes", "1", "--out", str(tmp_path / "run")]
    assert main([*arguments, "--video-every", "1000000"]) == 0
    assert [path.name for path in (tmp_path / "run" / "videos").iterdir()] == ["64.mp4"]


def test_the_start_is_that_of_evaluations():
    """The first environment of an evaluation has the same seed, however many there are."""
    assert env_seeds(evaluation_seed(0), 1) == env_seeds(evaluation_seed(0), 10)[:1]
