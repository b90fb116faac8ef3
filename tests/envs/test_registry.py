"""Looking environments up: what is missing, and what to install."""

import gymnasium

from proximax.envs.registry import missing_dependency


def test_missing_physics_engines_name_their_extra():
    error = gymnasium.error.DependencyNotInstalled("MuJoCo is not installed, run `pip install ...`")
    assert 'pip install "proximax[mujoco]"' in str(missing_dependency("Hopper-v5", error))
    error = gymnasium.error.DependencyNotInstalled("Box2D is not installed")
    assert 'pip install "proximax[box2d]"' in str(missing_dependency("LunarLander-v3", error))
