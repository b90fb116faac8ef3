"""The core training loop: rollout -> values -> advantages -> update, for all algorithms and all seeds.

Read ``learner`` first, then ``rollout``, ``values``, ``update``, ``losses``, ``records``, ``algorithms`` and
``policy_steps``. For environments outside the program ``host_learner`` and ``host_rollout``. ``multi_seed`` runs all
seeds and many updates in a call, on the axis that ``seed_axis`` makes; ``shards`` is what parts of a rollout on several
devices exchange; ``reward_hooks`` are the user's rewards; ``diagnostics`` are logged.
"""

from proximax.ppo.algorithms import ALGORITHMS, find_algorithm
from proximax.ppo.diagnostics import RATIO_EDGES
from proximax.ppo.host_learner import HostLearner, make_host_learner
from proximax.ppo.host_rollout import check_rollout, reset_host_envs
from proximax.ppo.learner import learn_from_rollout, make_learner, next_rollout, update_succeeded
from proximax.ppo.multi_seed import (
    MAX_UPDATES_PER_CALL,
    HostMultiSeedLearner,
    MultiSeedLearner,
    make_multi_seed_learner,
)
from proximax.ppo.records import Algorithm, ObjectiveInputs, ScheduledValues
from proximax.ppo.rollout import act
from proximax.ppo.seed_axis import stack_seeds

__all__ = [
    "ALGORITHMS",
    "MAX_UPDATES_PER_CALL",
    "RATIO_EDGES",
    "Algorithm",
    "HostLearner",
    "HostMultiSeedLearner",
    "MultiSeedLearner",
    "ObjectiveInputs",
    "ScheduledValues",
    "act",
    "check_rollout",
    "find_algorithm",
    "learn_from_rollout",
    "make_host_learner",
    "make_learner",
    "make_multi_seed_learner",
    "next_rollout",
    "reset_host_envs",
    "stack_seeds",
    "update_succeeded",
]
