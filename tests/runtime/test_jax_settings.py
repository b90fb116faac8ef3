"""JAX's settings of the user: proximax works under each with the same numbers, and leaves all as it was. Fault 49."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import proximax
from proximax.runtime import compilation
from proximax.runtime.jax_settings import foreign_settings, own_settings
from tests.support.saved_runs import TINY

NAMES = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs", "jax_cpu_enable_async_dispatch")
SETTINGS = {
    "a mesh": lambda: jax.set_mesh(jax.make_mesh((1,), ("x",))),
    "an explicit mesh": lambda: jax.set_mesh(jax.make_mesh((1,), ("x",), (jax.sharding.AxisType.Explicit,))),
    "no transfers": lambda: jax.transfer_guard("disallow_explicit"),
    "no transfers to the device": lambda: jax.transfer_guard_host_to_device("disallow"),
    "strict promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "64 bits": lambda: jax.enable_x64(True),
    "no NaN": lambda: jax.debug_nans(True),
    "no infinity": lambda: jax.debug_infs(True),
}


def weights(result):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(result.agents[0].params)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return proximax.train("probe:choice", out=out, **TINY)


@pytest.mark.slow
@pytest.mark.fault(49)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_is_the_same_whatever_the_user_has_set(setting, trained, tmp_path):
    obs = np.zeros(trained.agent.observation_space.shape, np.float32)
    with SETTINGS[setting]():
        again = proximax.train("probe:choice", out=tmp_path / "run", **TINY)
        resumed = proximax.train("probe:choice", out=tmp_path / "run", resume=True, **TINY)
        agent = proximax.load(tmp_path / "run")
        evaluation = proximax.evaluate(tmp_path / "run", 2)
        action = agent.act(obs)
        assert len(foreign_settings()) == 1  # as it was
    for result in (again, resumed):
        np.testing.assert_array_equal(weights(result), weights(trained))
    assert weights(again).dtype == np.float32
    np.testing.assert_array_equal(evaluation.returns, proximax.evaluate(trained.directory, 2).returns)
    assert action == trained.agent.act(obs)


@pytest.mark.slow
def test_training_leaves_the_settings_as_it_found_them(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = dict(jax.config.values)
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
        found = dict(jax.config.values)
        proximax.train("CartPole-v1", **TINY)
        assert dict(jax.config.values) == found
        assert len(list(tmp_path.glob("proximax/*/*-cache"))) > 0  # though it used a cache of its own
        programs = len(list(tmp_path.glob("proximax/*/*")))
        jax.jit(lambda x: x * 3 + 1)(jnp.arange(7)).block_until_ready()
        assert len(list(tmp_path.glob("proximax/*/*"))) == programs  # the user's programs are not put there
    finally:
        for name in NAMES:
            jax.config.update(name, before[name])


def test_settings_that_are_as_they_should_be_cost_nothing():
    assert foreign_settings() == []
    with own_settings():
        assert foreign_settings() == []
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 7.0)
    assert jax.config.values["jax_persistent_cache_min_compile_time_secs"] != 7.0


def test_what_fails_within_leaves_the_settings_too():
    before = jax.config.values["jax_cpu_enable_async_dispatch"]

    @own_settings()
    def fail():
        compilation.disable_async_dispatch()
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert jax.config.values["jax_cpu_enable_async_dispatch"] is before
