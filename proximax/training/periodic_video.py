"""Videos while training."""

from pathlib import Path

import jax
import numpy as np

from proximax.config import RunConfig
from proximax.envs import EnvLike
from proximax.errors import ProximaxError
from proximax.evaluation import EVALUATION_SEED, VideoRecorder, require_encoder
from proximax.policy import Policy
from proximax.runtime import say
from proximax.types import TrainState


class PeriodicVideo:
    """Videos while training: every ``config.video_every`` steps and at the end, of the first seed's policy.

    Environments, compiled policy and random numbers are its own, so that training is as without it. All videos are of
    the same start.
    """

    def __init__(self, config: RunConfig, env: EnvLike, policy: Policy, directory: Path | None) -> None:
        self._config, self._filmer, self._filmed = config, None, 0
        if config.video_every is None or directory is None:
            return
        require_encoder(".mp4")
        self._directory = directory / "videos"
        self._filmer = VideoRecorder(env, policy, config.eval_stochastic)

    def after_update(self, state: TrainState, update: int) -> None:
        """A video, if it is time for one."""
        every, batch = self._config.video_every, self._config.batch_size
        if every is not None and 0 < update != self._filmed and update * batch // every > (update - 1) * batch // every:
            self._film(state, update)

    def at_end(self, state: TrainState, update: int) -> None:
        """A video of the last policy, if there is none yet."""
        if update > self._filmed:
            self._film(state, update)

    def _film(self, state: TrainState, update: int) -> None:
        """Film, or say why not: no training run is to end because of a video."""
        if self._filmer is None:
            return
        steps, self._filmed = update * self._config.batch_size, update
        policy = jax.tree.map(lambda x: np.asarray(x[0]), (state.params, state.obs_moments))
        path = self._directory / f"{steps:0{len(str(self._config.steps))}d}.mp4"
        try:
            self._filmer.film(path, policy, EVALUATION_SEED + self._config.seed)
        except ProximaxError as error:
            say(f"proximax: note: no video at {steps:,} steps: {error}")

    def close(self) -> None:
        """Close the environment."""
        if self._filmer is not None:
            self._filmer.env.close()
