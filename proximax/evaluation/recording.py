"""Videos of a policy: the episodes that an evaluation plays, in colour, with the return so far."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proximax.config import COUNT, SEED, Rule, bool_problem, path_problem, range_problem, refuse
from proximax.envs import EnvId, EnvLike, env_name, make_rendered_env, single_env_options
from proximax.errors import UsageError
from proximax.evaluation.episodes import EpisodePlayer
from proximax.evaluation.evaluator import evaluation_seed
from proximax.evaluation.subjects import merge_env_kwargs, named_env, single_policy, trained_env, trained_seed
from proximax.evaluation.video_encoding import FrameComposer, require_encoder, write_video
from proximax.policy import Agent, Policy
from proximax.runs import load_agent, load_config, run_problem
from proximax.runtime import compilation, own_settings, path_named, refuse_fork, refuse_special, show_messages
from proximax.types import Params, PyTree

HOLD_SECONDS = 1.0  # for which an episode's last frame is shown
MAX_SECONDS = 300.0  # of play; an untrained policy may play an Atari game for half an hour


class Video(NamedTuple):
    """A video, and the episodes in it.

    ``path``: its file. ``returns``, ``lengths``: of each episode. ``cut``: the last one had not ended yet. ``frames``:
    how many it has. ``fps``: frames per second.
    """

    path: Path
    returns: list[float]
    lengths: list[int]
    cut: bool
    frames: int
    fps: float


@show_messages()
@own_settings()
def video(
    run: str | Path | Agent,
    out: str | Path | None = None,
    *,
    env: EnvLike | None = None,
    episodes: int = 1,
    seed: int = 0,
    sample: bool | None = None,
    agent_seed: int | None = None,
    checkpoint: str = "last",
    seconds: float = MAX_SECONDS,
    env_kwargs: Mapping[str, Any] | None = None,
    allow_import: bool = False,
) -> Video:
    """Record a video of a run's policy, or of one policy on ``env``: the episodes of ``evaluate`` with this ``seed``.

    ``run``: a run directory, an ``Agent``, or a file that ``Agent.save`` or ``export`` wrote (``zoo:CartPole-v1`` too).
    ``out``: an .mp4 or .gif file; by default one in the run's folder ``videos``.
    ``episodes``: how many, one after the other.
    ``seed``: of the environment, and of the actions if they are sampled.
    ``agent_seed``: which of the run's policies; by default the one with the best final evaluation.
    ``checkpoint``: as in ``load``.
    ``seconds``: at most so much play is recorded.
    ``env``, ``env_kwargs``, ``sample``, ``allow_import``: as in ``evaluate``.

    Load a policy with a custom network first, and pass the ``Agent``. Atari games are shown at 60 frames a second, with
    those that the policy skips; a GIF has one frame for each step.
    Needs the ``video`` extra. Raises ``UsageError``, ``CheckpointError``, ``DependencyError`` and ``StorageError``.
    """
    refuse(
        [
            run_problem(run),
            path_problem("out", out, optional=True),
            range_problem("episodes", episodes, COUNT),
            range_problem("seed", seed, SEED),
            range_problem("agent_seed", agent_seed, replace(SEED, optional=True)),
            bool_problem("sample", sample, optional=True),
            range_problem("seconds", seconds, Rule(0, open_low=True)),
            bool_problem("allow_import", allow_import),
        ]
    )
    refuse_fork()
    single = single_policy(run, env)
    if single is not None:
        if out is None:
            raise UsageError("the video of one policy needs a file: pass out=... (--out FILE)")
        agent, sample = single, bool(sample)
        agent_seed = trained_seed(agent) if agent_seed is None else agent_seed
        env, options = trained_env(agent, env, env_kwargs, allow_import)
    else:
        assert not isinstance(run, Agent)
        config = load_config(run)
        options = single_env_options(config) | {"env_kwargs": merge_env_kwargs(config, env, env_kwargs)}
        env = named_env(config, allow_import) if env is None else env
        agent, config, agent_seed = load_agent(run, agent_seed, checkpoint=checkpoint)
        sample = config.eval_stochastic if sample is None else sample
        if out is None:
            refuse_special(folder := Path(run) / "videos")
            out = folder / f"policy-{agent_seed}-episode-{seed}.mp4"
    assert env is not None
    if isinstance(env, str) and EnvId.parse(env).is_object:
        raise UsageError(f"the environment ({env}) was an object and cannot be re-created: pass env=...")
    path = path_named(out, "out").absolute()  # an environment may change the working directory
    require_encoder(path.suffix)
    compilation.use_compilation_cache()
    recorder = VideoRecorder(env, agent.policy, sample, options)
    try:
        agent.check_spaces(recorder.env.observation_space, recorder.env.action_space)
        policy = agent.params, agent.obs_moments
        return recorder.record(path, policy, evaluation_seed(agent_seed or 0, seed), episodes, seconds)
    finally:
        recorder.env.close()


class RenderedStep(NamedTuple):
    """What one step showed, or the first frame of an episode."""

    frames: list[np.ndarray]
    total: float  # return so far
    step: int
    ended: bool


class VideoRecorder:
    """A rendered environment and a compiled policy, kept for several videos."""

    def __init__(self, env: EnvLike, policy: Policy, sample: bool, options: Mapping[str, Any]) -> None:
        """``options``: how the environment is made, as ``envs.single_env_options`` gives it."""
        self.env = make_rendered_env(env, **options)
        self._title = re.split("[:/]", env_name(env))[-1]
        self._player = EpisodePlayer(self.env, policy, sample)

    def record(
        self, path: Path, policy: tuple[Params, PyTree], seed: int, episodes: int = 1, seconds: float = MAX_SECONDS
    ) -> Video:
        """The first episodes of the environment with this ``seed``, by ``policy``: parameters and normaliser."""
        env, gif = self.env, path.suffix.lower() == ".gif"
        fps = env.fps / env.frames_per_step if gif else env.fps
        ends: list[RenderedStep] = []  # of each episode, or of the whole
        frames = write_video(path, self._frames(self._play(policy, seed), ends, episodes, seconds, gif), fps)
        cut = not ends[-1].ended
        return Video(path, [end.total for end in ends], [end.step for end in ends], cut, frames, fps)

    def _play(self, policy: tuple[Params, PyTree], seed: int) -> Iterator[RenderedStep]:
        """Episode after episode, without an end."""
        for _, total, length, ended in self._player.play(*policy, seed, quota=np.array([np.inf])):
            if length[0]:
                yield RenderedStep(self.env.frames, float(total[0]), int(length[0]), bool(ended[0]))
            if ended[0] or not length[0]:
                yield RenderedStep([self.env.first_frame], 0.0, 0, False)

    def _frames(
        self, play: Iterator[RenderedStep], ends: list[RenderedStep], episodes: int, seconds: float, gif: bool
    ) -> Iterator[np.ndarray]:
        """The frames of so many episodes, of so many ``seconds`` of play at most; ``ends`` is filled."""
        max_steps, composer = max(1, round(seconds * self.env.fps / self.env.frames_per_step)), None
        for count, step in enumerate(play):
            composer = composer or FrameComposer(step.frames[0].shape, self._title)
            # Sprites of Atari games flicker, so that a GIF's one frame for a step must be made of the last two.
            screens = [np.maximum.reduce(step.frames[-2:])] if gif else step.frames
            frames = [composer.draw(screen, step.total, step.step) for screen in screens]
            yield from frames
            if not step.ended and count < max_steps:
                continue
            ends.append(step)
            yield from repeat(frames[-1], round(HOLD_SECONDS * self.env.fps / (self.env.frames_per_step if gif else 1)))
            if len(ends) == episodes or count >= max_steps:
                return
