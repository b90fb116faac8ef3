"""Videos of a policy: an episode as an evaluation plays it, in colour, with the return so far."""

import re
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from proximax.envs import EnvLike, env_from_config, env_name, env_seeds, make_rendered_env
from proximax.errors import UsageError
from proximax.evaluation.evaluator import EVALUATION_SEED, check_masks, sampling_keys
from proximax.evaluation.video_encoding import FrameComposer, require_encoder, write_video
from proximax.policy import Agent, Policy, choose
from proximax.runs import load_agent
from proximax.runtime import compilation
from proximax.types import Params, PyTree

HOLD_SECONDS = 1.0  # that an episode's last frame is shown
MAX_SECONDS = 300.0  # of play; an untrained policy may play an Atari game for half an hour


class Video(NamedTuple):
    """A video, and the episodes in it. ``cut``: the last one had not ended yet."""

    path: Path
    returns: list[float]
    lengths: list[int]
    cut: bool
    frames: int
    fps: float


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
) -> Video:
    """Film a run's policy, or an ``Agent`` on ``env``, as ``evaluate`` with the same ``seed`` lets it play.

    ``out``: an .mp4 or .gif file; by default one in the run's folder ``videos``. ``agent_seed``: which of the run's
    policies; by default the one with the best final evaluation. ``checkpoint`` is as in ``load``.
    ``seconds`` of play are filmed at most. ``env`` and
    ``sample`` are as in ``evaluate``. A policy with a network of your own is to be loaded first. Atari games are shown
    at 60 frames a second, with those that the policy skips; a GIF has one for each step. Needs the ``video`` extra.
    """
    if episodes < 1 or not 0 < seconds < float("inf"):
        raise UsageError(f"episodes = {episodes}, seconds = {seconds}: both must be positive")
    if isinstance(run, Agent):
        if env is None or out is None:
            raise UsageError("the video of an Agent needs env and out")
        agent, sample = run, bool(sample)
    else:
        agent, config, agent_seed = load_agent(run, agent_seed, checkpoint=checkpoint)
        env = env_from_config(config) if env is None else env
        sample = config.eval_stochastic if sample is None else sample
        out = Path(run) / "videos" / f"policy-{agent_seed}-episode-{seed}.mp4" if out is None else out
    if isinstance(env, str) and env.startswith("object:"):
        raise UsageError(f"the environment ({env}) was an object and cannot be made again: pass env=...")
    require_encoder(Path(out).suffix)
    compilation.use_compilation_cache()
    filmer = VideoRecorder(env, agent.policy, sample)
    try:
        agent.check_spaces(filmer.env.observation_space, filmer.env.action_space)
        policy = agent.params, agent.obs_moments
        return filmer.film(Path(out), policy, EVALUATION_SEED + seed, episodes, seconds)
    finally:
        filmer.env.close()


class RenderedStep(NamedTuple):
    """What one step showed, or the opening of an episode."""

    frames: list[np.ndarray]
    total: float  # return so far
    step: int
    over: bool


class VideoRecorder:
    """An environment to watch and a compiled policy, kept for several videos."""

    def __init__(self, env: EnvLike, policy: Policy, sample: bool) -> None:
        self.env, self._policy = make_rendered_env(env), policy
        self._title = re.split("[:/]", env_name(env))[-1]
        self._act = compilation.jit(partial(choose, policy, sample), fast_compile=True)
        self._stuck = compilation.jit(policy.all_masked) if policy.all_masked else None

    def film(
        self, path: Path, policy: tuple[Params, PyTree], seed: int, episodes: int = 1, seconds: float = MAX_SECONDS
    ) -> Video:
        """The first episodes of the environment with this ``seed``, by ``policy``: parameters and normaliser."""
        env, gif = self.env, path.suffix.lower() == ".gif"
        fps = env.fps / env.frames_per_step if gif else env.fps
        ends: list[RenderedStep] = []  # of each episode, or of the whole
        frames = write_video(path, self._frames(self._play(policy, seed), ends, episodes, seconds, gif), fps)
        cut = not ends[-1].over
        return Video(path, [end.total for end in ends], [end.step for end in ends], cut, frames, fps)

    def _play(self, policy: tuple[Params, PyTree], seed: int) -> Iterator[RenderedStep]:
        """Episode after episode."""
        env, carry = self.env, self._policy.initial_carry(1)
        first: Any = np.ones(1, bool)
        obs, keys = env.reset(env_seeds(seed, 1)), sampling_keys(seed)
        while True:
            total, step, over = 0.0, 0, False
            yield RenderedStep([env.first_frame], total, step, over)
            while not over:
                if self._stuck is not None:
                    check_masks(np.asarray(self._stuck(obs)), [step])
                action, carry = self._act(*policy, carry, obs, first, next(keys))
                s = env.step(jax.tree.map(np.array, action))
                obs, first = s.obs, s.first
                total, step, over = total + float(s.raw_reward[0]), step + 1, bool(s.ended[0])
                yield RenderedStep(env.frames, total, step, over)

    def _frames(
        self, play: Iterator[RenderedStep], ends: list[RenderedStep], episodes: int, seconds: float, gif: bool
    ) -> Iterator[np.ndarray]:
        """The film of so many episodes, of so many ``seconds`` of play at most; ``ends`` is filled."""
        most, canvas = max(1, round(seconds * self.env.fps / self.env.frames_per_step)), None
        for count, seen in enumerate(play):
            canvas = canvas or FrameComposer(seen.frames[0].shape, self._title)
            # Sprites of Atari games flicker, so that a GIF's one frame for a step must be made of the last two.
            shown = [np.maximum.reduce(seen.frames[-2:])] if gif else seen.frames
            frames = [canvas.draw(picture, seen.total, seen.step) for picture in shown]
            yield from frames
            if not seen.over and count < most:
                continue
            ends.append(seen)
            yield from repeat(frames[-1], round(HOLD_SECONDS * self.env.fps / (self.env.frames_per_step if gif else 1)))
            if len(ends) == episodes or count >= most:
                return
