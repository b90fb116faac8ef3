"""The core training loop: rollout -> values -> advantages -> update, for all algorithms and all seeds.

Read ``learner`` first, then ``rollout``, ``values``, ``update``, ``losses``, ``records``, ``algorithms`` and
``policy_steps``. For environments outside the program ``host_learner`` and ``host_rollout``. ``multi_seed`` runs all
seeds and many updates in a call, on the axis that ``seed_axis`` makes; ``diagnostics`` are logged and change nothing.
"""

from proximax.ppo.algorithms import ALGORITHMS, find_algorithm
from proximax.ppo.host_learner import acting, learning, make_host_learner
from proximax.ppo.host_rollout import check_rollout, collect, host_buffers, start_host
from proximax.ppo.learner import good, learn, make_learner
from proximax.ppo.multi_seed import MOST_UPDATES, SEEDS, Advance, Pace, Started, share_out, side_by_side, start_learner
from proximax.ppo.records import Algorithm, Rates, Signals
from proximax.ppo.rollout import act, unroll
from proximax.ppo.seed_axis import stack_seeds
from proximax.ppo.update import RATIO_EDGES

__all__ = [
    "ALGORITHMS",
    "MOST_UPDATES",
    "RATIO_EDGES",
    "SEEDS",
    "Advance",
    "Algorithm",
    "Pace",
    "Rates",
    "Signals",
    "Started",
    "act",
    "acting",
    "check_rollout",
    "collect",
    "find_algorithm",
    "good",
    "host_buffers",
    "learn",
    "learning",
    "make_host_learner",
    "make_learner",
    "share_out",
    "side_by_side",
    "stack_seeds",
    "start_host",
    "start_learner",
    "unroll",
]
