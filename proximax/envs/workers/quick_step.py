"""Steps of Gymnasium's MuJoCo environments without what surrounds the physics: the same numbers to the last bit.

Of a step of HalfCheetah-v5 29 % is wrappers, copies and an ``info`` that nobody reads. Only an environment exactly
as ``gymnasium.make`` makes it has such a step: any other class, wrapper or overridden method keeps its own. Worker
processes load this file by its path, so it imports neither proximax nor JAX; MuJoCo where such an environment has
imported it.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

# (action, array to write the observation to) -> (reward, terminated, truncated)
QuickStep = Callable[[np.ndarray, np.ndarray], tuple[Any, bool, bool]]
WRAPPERS = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker")


class Simulation(NamedTuple):
    """An environment's physics: views of its memory, which are good for as long as it lives."""

    env: Any
    model: Any
    data: Any
    control: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray
    seconds: float  # of a step

    def advance(self, action: np.ndarray) -> None:
        """Apply the action for the frames of a step."""
        self.control[:] = action
        mujoco = sys.modules["mujoco"]
        mujoco.mj_step(self.model, self.data, self.env.frame_skip)
        mujoco.mj_rnePostConstraint(self.model, self.data)  # forces, which Ant observes and saved states hold

    def control_cost(self, action: np.ndarray) -> Any:
        """The weighted squares of an action, in float32 as those."""
        return self.env._ctrl_cost_weight * np.add.reduce(np.square(action))


def step_forward(simulation: Simulation, action: np.ndarray, out: np.ndarray, hidden: int) -> tuple[Any, bool]:
    """(reward, terminated) of a step of an environment that rewards speed, and whose episodes only the time ends.

    HalfCheetah-v5 hides the first position, Swimmer-v5 the first two.
    """
    env, qpos = simulation.env, simulation.qpos
    before = qpos[0]
    simulation.advance(action)
    forward = env._forward_reward_weight * ((qpos[0] - before) / simulation.seconds)
    write_state(simulation, out, hidden)
    return forward - simulation.control_cost(action), False


def step_hopper(simulation: Simulation, action: np.ndarray, out: np.ndarray) -> tuple[Any, bool]:
    """(reward, terminated) of a step of Hopper-v5."""
    reward = step_upright(simulation, action, out)
    env, qpos = simulation.env, simulation.qpos
    rest = np.concatenate((qpos, simulation.qvel))[2:]
    low, high = env._healthy_state_range
    healthy = is_upright(simulation) and bool(np.logical_and(low < rest, rest < high).all())
    return finish_upright(simulation, action, reward, healthy)


def step_walker(simulation: Simulation, action: np.ndarray, out: np.ndarray) -> tuple[Any, bool]:
    """(reward, terminated) of a step of Walker2d-v5."""
    return finish_upright(simulation, action, step_upright(simulation, action, out), is_upright(simulation))


def step_upright(simulation: Simulation, action: np.ndarray, out: np.ndarray) -> Any:
    """The reward for moving, of Hopper and Walker2d, whose observed velocities are clipped."""
    env, qpos = simulation.env, simulation.qpos
    before = qpos[0]
    simulation.advance(action)
    forward = env._forward_reward_weight * ((qpos[0] - before) / simulation.seconds)
    skip = 1 if env._exclude_current_positions_from_observation else 0
    size = len(qpos) - skip
    out[:size] = qpos[skip:]
    np.clip(simulation.qvel, -10, 10, out=out[size:])
    return forward


def is_upright(simulation: Simulation) -> bool:
    """Whether height and angle of Hopper and Walker2d are within their ranges."""
    env, z, angle = simulation.env, simulation.qpos[1], simulation.qpos[2]
    low, high = env._healthy_z_range
    least, most = env._healthy_angle_range
    return bool(low < z < high and least < angle < most)


def finish_upright(simulation: Simulation, action: np.ndarray, forward: Any, healthy: bool) -> tuple[Any, bool]:
    """(reward, terminated) from the reward for moving."""
    env = simulation.env
    reward = forward + healthy * env._healthy_reward - simulation.control_cost(action)
    return reward, (not healthy) and env._terminate_when_unhealthy


def step_ant(simulation: Simulation, action: np.ndarray, out: np.ndarray) -> tuple[Any, bool]:
    """(reward, terminated) of a step of Ant-v5."""
    env, data, qpos, qvel = simulation.env, simulation.data, simulation.qpos, simulation.qvel
    torso = data.body(env._main_body).xpos
    before = torso[0]
    simulation.advance(action)
    forward = (torso[0] - before) / simulation.seconds * env._forward_reward_weight
    forces = np.clip(data.cfrc_ext, *env._contact_force_range)
    size = write_state(simulation, out, 2)
    if env._include_cfrc_ext_in_observation:
        out[size:] = forces[1:].reshape(-1)
    low, high = env._healthy_z_range
    healthy = bool(np.isfinite(qpos).all() and np.isfinite(qvel).all() and low <= qpos[2] <= high)
    costs = simulation.control_cost(action) + env._contact_cost_weight * np.sum(np.square(forces))
    return forward + healthy * env._healthy_reward - costs, (not healthy) and env._terminate_when_unhealthy


def write_state(simulation: Simulation, out: np.ndarray, hidden: int) -> int:
    """Write positions, without the first ``hidden`` where the environment hides them, and velocities; how many."""
    qpos, qvel = simulation.qpos, simulation.qvel
    skip = hidden if simulation.env._exclude_current_positions_from_observation else 0
    size = len(qpos) - skip
    out[:size] = qpos[skip:]
    out[size : size + len(qvel)] = qvel
    return size + len(qvel)


STEPS: dict[tuple[str, str], Callable[[Simulation, np.ndarray, np.ndarray], tuple[Any, bool]]] = {
    ("gymnasium.envs.mujoco.half_cheetah_v5", "HalfCheetahEnv"): partial(step_forward, hidden=1),
    ("gymnasium.envs.mujoco.swimmer_v5", "SwimmerEnv"): partial(step_forward, hidden=2),
    ("gymnasium.envs.mujoco.hopper_v5", "HopperEnv"): step_hopper,
    ("gymnasium.envs.mujoco.walker2d_v5", "Walker2dEnv"): step_walker,
    ("gymnasium.envs.mujoco.ant_v5", "AntEnv"): step_ant,
}


class WrappedSimulation:
    """The quick step of one environment, whose wrappers count on as if they had been called."""

    def __init__(self, core: Any, limits: list[Any]) -> None:
        data = core.data
        self.limits, self.step = limits, STEPS[type(core).__module__, type(core).__name__]
        self.simulation = Simulation(core, core.model, data, data.ctrl, data.qpos, data.qvel, core.dt)

    def __call__(self, action: np.ndarray, out: np.ndarray) -> tuple[Any, bool, bool]:
        """Step with the action, write the observation: (reward, terminated, truncated)."""
        reward, terminated = self.step(self.simulation, action, out)
        truncated = False
        for limit in self.limits:
            limit._elapsed_steps += 1
            truncated = truncated or limit._elapsed_steps >= limit._max_episode_steps
        return reward, terminated, truncated


def quick_step(env: Any) -> QuickStep | None:
    """The quick step of an environment that has been stepped; None where there is none that is the same."""
    limits = []
    layer = env
    while layer is not layer.unwrapped:
        kind = type(layer)
        if kind.__module__ != "gymnasium.wrappers.common" or kind.__name__ not in WRAPPERS or "step" in vars(layer):
            return None
        if kind.__name__ == "TimeLimit":
            limits.append(layer)
        layer = layer.env
    own = {"step", "do_simulation", "_step_mujoco_simulation", "_get_obs", "_get_rew"} & set(vars(layer))
    known = (type(layer).__module__, type(layer).__name__) in STEPS
    return WrappedSimulation(layer, limits) if known and not own and layer.render_mode != "human" else None
