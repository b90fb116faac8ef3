"""Videos while training."""

import logging
from pathlib import Path

import jax
import numpy as np

from proximax.config import RunConfig
from proximax.envs import EnvLike, single_env_options
from proximax.errors import ProximaxError
from proximax.evaluation import VideoRecorder, evaluation_seed, require_encoder
from proximax.policy import Policy
from proximax.runs import Every
from proximax.types import TrainState

logger = logging.getLogger(__name__)


class PeriodicVideo:
    """Videos while training: every ``config.video_every`` steps and at the end, of the first seed's policy.

    Environments, compiled policy and random numbers are its own, so that training is as without it. All videos are of
    the same start.
    """

    def __init__(self, config: RunConfig, env: EnvLike, policy: Policy, directory: Path | None) -> None:
        self._config, self._directory, self._last_recorded = config, directory, 0
        self._schedule: Every | None = None
        self._recorder: VideoRecorder | None = None
        if config.video_every is None or directory is None:
            return
        require_encoder(".mp4")
        self._schedule = Every(config.video_every, config.batch_size)
        self._recorder = VideoRecorder(env, policy, config.eval_stochastic, single_env_options(config))

    def next_update(self, update: int) -> int:
        """The first update after ``update`` that is to be recorded, which must end a compiled call; else the last."""
        last = self._config.updates
        return min(self._schedule.next_update(update), last) if self._schedule else last

    def after_update(self, state: TrainState, update: int) -> Path | None:
        """A video, if one is due: where it is."""
        due = self._schedule is not None and update != self._last_recorded and self._schedule.due(update)
        return self._record(state, update) if due else None

    def at_end(self, state: TrainState, update: int) -> Path | None:
        """A video of the last policy, if there is none yet."""
        return self._record(state, update) if update > self._last_recorded else None

    def _record(self, state: TrainState, update: int) -> Path | None:
        """Record a video, or say why not: no training run is to end because of a video."""
        if self._recorder is None or self._directory is None:
            return None
        steps, self._last_recorded = update * self._config.batch_size, update
        policy = jax.tree.map(lambda x: np.asarray(x[0]), (state.params, state.obs_moments))
        path = self._directory / "videos" / f"{steps:0{len(str(self._config.steps))}d}.mp4"
        try:
            self._recorder.record(path, policy, evaluation_seed(self._config.seed))
        except ProximaxError as error:
            logger.warning(f"no video at {steps:,} steps: {error}")
            return None
        return path

    def close(self) -> None:
        """Close the environment."""
        if self._recorder is not None:
            self._recorder.env.close()
