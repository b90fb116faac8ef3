"""From an observation to an action: encode -> network -> distribution -> the environment's action.

Read ``policy`` (the record of pure functions), ``observations`` (encoding and normalisation), ``actions``
(distributions), ``value_scale`` (normalised values), ``agent`` (a trained policy on its own), ``memories`` (what it
remembers), ``agent_file`` (in one file).
"""

from proximax.policy.actions import BINNED, action_bounds
from proximax.policy.agent import Agent, split_agents
from proximax.policy.observations import (
    OBS_CLIP,
    PIXEL_VARIANCE,
    example_input,
    init_obs_moments,
    is_image,
    network_input_space,
    update_obs_moments,
    without_mask,
)
from proximax.policy.policy import (
    Policy,
    PolicyDiagnostics,
    check_size,
    choice_of,
    choose,
    is_mlp,
    make_policy,
    policy_parameters,
)
from proximax.policy.value_scale import learn_value_scale

__all__ = [
    "BINNED",
    "OBS_CLIP",
    "PIXEL_VARIANCE",
    "Agent",
    "Policy",
    "PolicyDiagnostics",
    "action_bounds",
    "check_size",
    "choice_of",
    "choose",
    "example_input",
    "init_obs_moments",
    "is_image",
    "is_mlp",
    "learn_value_scale",
    "make_policy",
    "network_input_space",
    "policy_parameters",
    "split_agents",
    "update_obs_moments",
    "without_mask",
]
