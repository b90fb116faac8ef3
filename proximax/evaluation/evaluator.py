"""Score a policy on fresh episodes: raw rewards, frozen normaliser, as many episodes from every environment."""

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import COUNT, MAX_EPISODE_STEPS, SEED, RunConfig, bool_problem, range_problem, refuse
from proximax.envs import (
    EnvId,
    EnvLike,
    HostEnv,
    JaxEnv,
    can_recreate,
    env_options,
    make_env,
)
from proximax.errors import NumericalError, UsageError
from proximax.evaluation.episodes import EpisodePlayer, check_masks
from proximax.evaluation.statistics import Summary, summarise_returns
from proximax.evaluation.stepwise import score_stepwise
from proximax.evaluation.subjects import merge_env_kwargs, named_env, seeds_of, single_policy, trained_seed
from proximax.networks import AnyNetwork, network_problem
from proximax.policy import Agent, Policy, choose
from proximax.runs import exported_config, load_agents, run_problem
from proximax.runtime import compilation, own_settings, refuse_fork, seed_key, show_messages
from proximax.types import Key, Params, PyTree

logger = logging.getLogger(__name__)

# Part of every seed of an evaluation, so that none starts from the states that training starts from.
EVALUATION_SEED = 1_000_003
# Copies stepped together: all episodes at once where that is nearly free, a few where each costs its own time.
HOST_COPIES = 10


class Purpose(IntEnum):
    """What an evaluation is for. Those of one purpose never start from the states of another's."""

    REPORT = 0  # its ``salt``: the ``seed`` of ``evaluate``, 0 for the one at the end of a run
    LOG = 1  # while training, for the log and to choose the best checkpoint; its ``salt``: the update
    STOP = 2  # whether the goal is reached; its ``salt``: the update


def evaluation_seed(seed: int, salt: int = 0, purpose: Purpose = Purpose.REPORT) -> int:
    """The seed of an evaluation of the policy that was trained with ``seed``: others for every seed and ``salt``.

    If the policies of all seeds started from the same states, what they share would be missing in an interval over
    seeds. Hashed, where a sum would overlap: seed 1 at update 2 and seed 2 at update 1.
    """
    words = np.random.SeedSequence([EVALUATION_SEED, seed, salt, purpose]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


class Evaluation(NamedTuple):
    """Returns and lengths of each seed's episodes, ``[S, episodes]``; returns are NaN where an episode never ended.

    ``seeds``: that the policies were trained with.
    """

    returns: np.ndarray  # ``[S, episodes]``, float64
    lengths: np.ndarray  # ``[S, episodes]``, int64, in steps
    seeds: tuple[int, ...]  # that the policies were trained with

    @property
    def mean(self) -> float:
        """Mean return over seeds and episodes."""
        return float(np.mean(self.returns))

    @property
    def worst(self) -> float:
        """Mean return of the worst seed."""
        return float(self.returns.mean(axis=1).min())

    @property
    def summary(self) -> Summary:
        """Statistics over seeds of each seed's mean return."""
        return summarise_returns(self.returns.mean(axis=1))


@show_messages()
@own_settings()
def evaluate(
    run: str | Path | Agent,
    episodes: int = 100,
    *,
    env: EnvLike | None = None,
    seed: int = 0,
    sample: bool | None = None,
    network: AnyNetwork | None = None,
    checkpoint: str = "last",
    env_kwargs: Mapping[str, Any] | None = None,
    allow_import: bool = False,
) -> Evaluation:
    """Evaluate a run directory's policies (all its seeds) or one: an ``Agent``, or in a file (see ``load``).

    ``run``: a run directory, an ``Agent``, or a file of one policy.
    ``episodes``: of each seed.
    ``env``: replaces the run's own environment; an ``Agent`` and a file of ``Agent.save`` need it.
    ``seed``: of the environments, and of the actions if they are sampled.
    ``sample``: sample actions instead of taking the mode; None: as the run's ``eval_stochastic`` says.
    ``network``: needed for a policy trained with a custom network.
    ``checkpoint``: as in ``load``.
    ``env_kwargs``: arguments of the environment's constructor, over the run's own where the id is the same.
    ``allow_import``: let the run's ``config.json`` name a package to import (``package:Env-v0``), whose code then runs.

    Raises ``UsageError``, ``CheckpointError``, ``EnvError``.
    """
    refuse(
        [
            run_problem(run),
            range_problem("episodes", episodes, COUNT),
            range_problem("seed", seed, SEED),
            bool_problem("sample", sample, optional=True),
            network_problem(network, names=False),
            bool_problem("allow_import", allow_import),
        ]
    )
    episodes = int(episodes)
    refuse_fork()
    compilation.use_compilation_cache()
    config: RunConfig | None
    seeds: tuple[int, ...]
    if (agent := single_policy(run, env, network)) is not None:
        agents, config, seeds = [agent], exported_config(agent), (trained_seed(agent),)
        sample = bool(sample)
    else:
        assert not isinstance(run, Agent)
        agents, config = load_agents(run, network, checkpoint)
        sample, seeds = config.eval_stochastic if sample is None else sample, seeds_of(config)
    options = {"env_kwargs": env_kwargs} if config is None else env_options(config)
    if config is not None:
        options["env_kwargs"] = merge_env_kwargs(config, env, env_kwargs)
        env = named_env(config, allow_import) if env is None else env
    if env is None or (isinstance(env, str) and EnvId.parse(env).is_object):
        raise UsageError(f"the environment ({env}) was an object and cannot be re-created: pass env=...")
    score = make_evaluator(env, agents[0].policy, episodes, sample=sample, **options)
    try:
        agents[0].check_spaces(score.env.observation_space, score.env.action_space)
        policies = [(agent.params, agent.obs_moments) for agent in agents]
        return score.every(policies, seeds, seed)
    finally:
        if can_recreate(env):
            score.close()


class Evaluator:
    """Environments and a compiled policy, kept for several evaluations: ``evaluator(params, moments, seed)``."""

    def __init__(self, env: JaxEnv | HostEnv, policy: Policy, episodes: int, sample: bool) -> None:
        self.env = env
        self.episodes = episodes
        self._warned = False  # of returns that are not known
        self.copies = episodes if isinstance(env, JaxEnv) else min(episodes, env.num_envs)
        if isinstance(env, JaxEnv) and policy.choose_outside is not None:
            self._run: Callable[..., Any] = partial(score_stepwise, env, policy, sample)
        elif isinstance(env, JaxEnv):
            compiled = compilation.jit(partial(score_jax, env, policy, sample), static_argnums=3)
            self._run = partial(checked, compiled)
        else:
            self._run = partial(score_host, EpisodePlayer(env, policy, sample), env.num_envs)

    def __call__(
        self, params: Params, moments: PyTree, seed: int, episodes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(returns, lengths) of ``episodes`` episodes; ``seed`` fixes the environments, and the actions if sampled."""
        start: Any = seed_key(seed) if isinstance(self.env, JaxEnv) else seed
        returns, lengths = self._run(params, moments, start, episodes or self.episodes)
        if unknown := int(np.isnan(returns).sum()):
            self._warn(unknown, len(returns))
        return np.asarray(returns, np.float64), np.asarray(lengths, np.int64)

    def _warn(self, unknown: int, episodes: int) -> None:
        """Say, once, why a mean will be NaN."""
        if not self._warned:
            logger.warning(
                f"{unknown} of {episodes} evaluation episodes had not ended after {MAX_EPISODE_STEPS:,} steps: their "
                "returns, and the mean, are not known (n/a)"
            )
        self._warned = True

    def every(
        self,
        policies: Sequence[tuple[Params, PyTree]],
        seeds: tuple[int, ...],
        salt: int = 0,
        purpose: Purpose = Purpose.REPORT,
        episodes: int | None = None,
    ) -> Evaluation:
        """The policies trained with these ``seeds`` in turn, each on its own starts (``evaluation_seed``)."""
        starts = [evaluation_seed(seed, salt, purpose) for seed in seeds]
        returns, lengths = zip(*(self(*policy, start, episodes) for policy, start in zip(policies, starts)))
        return Evaluation(np.stack(returns), np.stack(lengths), seeds)

    def close(self) -> None:
        """Close the environments."""
        if not isinstance(self.env, JaxEnv):
            self.env.close()


def make_evaluator(env: EnvLike, policy: Policy, episodes: int, *, sample: bool = False, **options: Any) -> Evaluator:
    """Fresh environments for evaluation; a ``VectorEnv``, ``HostEnv`` or ``JaxEnv`` object is used as it is.

    ``options``: how they are made and stepped, as ``envs.env_options`` gives it.
    """
    evaluation_env = make_env(env, min(episodes, HOST_COPIES), num_envs_if_native_vector=episodes, **options)
    return Evaluator(evaluation_env, policy, episodes, sample)


def score_host(
    player: EpisodePlayer, num_envs: int, params: Params, moments: PyTree, seed: int, episodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Environment i plays a fixed number of episodes, so that short episodes are not counted more often."""
    quota = episodes // num_envs + (np.arange(num_envs) < episodes % num_envs)
    start = np.cumsum(quota) - quota  # where each environment's results go
    returns, lengths = np.full(episodes, np.nan), np.zeros(episodes, int)
    for step in player.play(params, moments, seed, quota, MAX_EPISODE_STEPS):
        counted = step.ended & (step.episode < quota)
        slots = (start + step.episode)[counted]
        returns[slots], lengths[slots] = step.total[counted], step.length[counted]
    return returns, lengths


def checked(score: Callable[..., Any], *arguments: object) -> tuple[Any, Any]:
    """(returns, lengths) of a compiled ``score_jax``, which cannot raise."""
    total, lost, lengths, all_masked = score(*arguments)
    check_masks(np.asarray(all_masked), np.asarray(lengths))
    # NaN at the limit of steps: the episode never ended. Before it: an environment that ended with a reward of NaN.
    wrong = ~np.isfinite(total) & (np.asarray(lengths) < MAX_EPISODE_STEPS)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise NumericalError(
            f"in an evaluation the return of environment {i} is {np.asarray(total)[i]}: a reward is not finite, or "
            "their sum does not fit float32. Fix the environment"
        )
    return np.asarray(total, np.float64) + np.asarray(lost, np.float64), lengths


def score_jax(
    env: JaxEnv, policy: Policy, sample: bool, params: Params, moments: PyTree, key: Key, episodes: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """One episode in each of ``episodes`` environments, in one compiled loop: (returns, lost, lengths, all_masked).

    ``lost``: what the returns lost by rounding, to be added in float64 (``compensated_sum``).

    An episode is given up, as ``all_masked``, where its mask allows no action.
    """
    key, key_reset = jax.random.split(key)
    env_state, obs = jax.vmap(env.reset)(jax.random.split(key_reset, episodes))
    first = jnp.ones(episodes, bool)
    zeros = jnp.zeros(episodes)
    sums = zeros, zeros  # the return so far, and what its rounding has lost
    is_masked = policy.diagnostics.all_masked or (lambda obs: ~first)
    masked = is_masked(obs)
    initial = (key, env_state, obs, first, policy.initial_carry(episodes), ~masked, sums, zeros, masked)

    def running(loop: tuple[Any, ...]) -> jax.Array:
        *_, alive, _, length, _ = loop
        return jnp.any(alive) & (jnp.max(length) < MAX_EPISODE_STEPS)

    def step(loop: tuple[Any, ...]) -> tuple[Any, ...]:
        key, env_state, obs, first, carry, alive, total, length, masked = loop
        key, key_act, key_env = jax.random.split(key, 3)
        action, carry = choose(policy, sample, params, moments, carry, obs, first, key_act)
        env_state, s = jax.vmap(env.step)(jax.random.split(key_env, episodes), env_state, action)
        total, length = compensated_sum(total, jnp.where(alive, s.raw_reward, 0.0)), length + alive
        alive = alive & ~s.ended
        masked = masked | (alive & is_masked(s.obs))
        return key, env_state, s.obs, s.first, carry, alive & ~masked, total, length, masked

    *_, alive, (total, lost), length, masked = jax.lax.while_loop(running, step, initial)
    return jnp.where(alive, jnp.nan, total), jnp.where(alive, 0.0, lost), length, masked


def compensated_sum(total: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``total`` plus ``x``, where ``total`` is (sum in float32, what its rounding has lost): add the two in float64.

    The compiler must not simplify it, hence the barrier. Source: Neumaier 1974; Knuth, TAOCP vol. 2, 4.2.2, theorem B.
    """
    a, lost = total
    sum_ = jax.lax.optimization_barrier(a + x)
    x_part = jax.lax.optimization_barrier(sum_ - a)
    a_part = jax.lax.optimization_barrier(sum_ - x_part)
    error = (a - a_part) + (x - x_part)
    return sum_, lost + jnp.where(jnp.isfinite(sum_), error, 0.0)
