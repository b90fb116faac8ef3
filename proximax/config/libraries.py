"""What other libraries do by default, in our settings: so that a number can be compared with theirs, like with like.

Each from the source of the version named. What has no setting here is in ``remains``, and is said when a run starts.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from proximax.config.ppo_config import PPOConfig

LibraryName = Literal["sb3", "cleanrl", "cleanrl-continuous", "rllib", "paper"]


class Library(NamedTuple):
    """The defaults of one library's PPO."""

    source: str
    num_envs: int
    ppo: Mapping[str, Any]  # fields of ``PPOConfig`` that are not its defaults
    remains: tuple[str, ...]  # what it does otherwise than proximax all the same


_UNSCALED = {"normalise_obs": False, "scale_reward": False}
_PYTORCH = {"bessel_correction": True}
_WHILE_ACTING = "normalisers move with every step of the environments; here after each rollout"
_TIME_LIMITS = "a time limit counts as an end, without V(final observation); here it is added"
LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        "sb3": Library(
            source="Stable-Baselines3 2.9, PPO",
            num_envs=1,
            ppo={
                **_UNSCALED,
                **_PYTORCH,
                "num_steps": 2048,
                "anneal": (),
                "anneal_reaches_end": True,  # where a schedule is asked for: its progress is that after the rollout
                "value_coef": 1.0,  # vf_coef 0.5 of a loss without the factor 1/2
                "value_clip": "alone",
                "reward_clip": 10.0,  # VecNormalize's
            },
            remains=(f"with VecNormalize, {_WHILE_ACTING}",),
        ),
        "cleanrl": Library(
            source="CleanRL, ppo.py",
            num_envs=4,
            ppo={
                **_UNSCALED,
                **_PYTORCH,
                "num_steps": 128,
                "minibatch_size": 128,
                "epochs": 4,
                "learning_rate": 2.5e-4,
                "value_epsilon": 0.2,
                "entropy_coef": 0.01,
            },
            remains=(_TIME_LIMITS,),
        ),
        "cleanrl-continuous": Library(
            source="CleanRL, ppo_continuous_action.py",
            num_envs=1,
            ppo={**_PYTORCH, "num_steps": 2048, "value_epsilon": 0.2, "reward_clip": 10.0},
            remains=(_TIME_LIMITS, _WHILE_ACTING),
        ),
        "rllib": Library(
            source="RLlib 2.60, PPO",
            num_envs=2,
            ppo={
                **_UNSCALED,
                **_PYTORCH,
                "num_steps": 2048,
                "minibatch_size": 128,
                "epochs": 30,
                "learning_rate": 5e-5,
                "anneal": (),
                "lam": 1.0,
                "epsilon": 0.3,
                "value_coef": 2.0,  # vf_loss_coeff 1 of a loss without the factor 1/2
                "max_grad_norm": None,
                "adam_epsilon": 1e-8,
                "hidden": (256, 256),
            },
            remains=(
                "rollouts have 4,000 steps; here 4,096, which minibatches of 128 divide",
                "KL(old, new) is penalised too, with an adaptive weight that begins at 0.2",
                "squared value errors above 10 have no gradient",
                "advantages are standardised once over the rollout; here in each minibatch",
            ),
        ),
        "paper": Library(
            source="arXiv 1707.06347, table 3 and section 6.1: only what is written there",
            num_envs=1,
            ppo={
                **_UNSCALED,
                "num_steps": 2048,
                "anneal": (),
                "value_coef": 2.0,  # coefficient 1 of a loss without the factor 1/2
                "standardise_advantage": False,
                "max_grad_norm": None,
                "adam_epsilon": 1e-8,  # Adam's own
            },
            remains=("initial weights and time limits are not described",),
        ),
    }
)


def library_settings(name: str) -> tuple[dict[str, Any], PPOConfig]:
    """(fields of ``RunConfig``, ``PPOConfig``) of a name of ``LIBRARIES``."""
    library = LIBRARIES[name]
    return {"like": name, "num_envs": library.num_envs}, PPOConfig(**library.ppo)
