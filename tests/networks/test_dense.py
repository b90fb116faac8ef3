"""The built-in network: orthogonal weights, gains, who shares what with whom."""

import jax
import numpy as np
import pytest

from proximax.networks.base import ACTIVATIONS, affine, normalise_layer, orthogonal
from proximax.networks.dense import mlp
from proximax.runtime.prng import key_from_data

OBS = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def key(i):
    return key_from_data(np.array([0, i], np.uint32))


def weights(layer):
    assert (layer["b"] == 0).all()
    return layer["w"]


@pytest.mark.parametrize(("rows", "columns"), [(16, 4), (4, 16), (8, 8), (1, 5), (5, 1)])
def test_orthogonal_matrices_have_orthonormal_rows_or_columns_times_the_gain(rows, columns):
    w = orthogonal(np.random.default_rng(1), rows, columns, gain=3.0)
    assert w.shape == (rows, columns)
    assert w.dtype == np.float32
    gram = w.T @ w if rows >= columns else w @ w.T
    np.testing.assert_allclose(gram, 9.0 * np.eye(min(rows, columns)), atol=1e-5)


def test_orthogonal_matrices_are_uniform():
    # Without the sign of R's diagonal, QR gives a 1 x 1 "orthogonal matrix" that is always -1.
    signs = [orthogonal(np.random.default_rng(i), 1, 1, 1.0).item() for i in range(40)]
    assert {-1.0, 1.0} == set(signs)
    first = np.array([orthogonal(np.random.default_rng(i), 3, 3, 1.0)[0, 0] for i in range(400)])
    assert abs(first.mean()) < 0.1  # one coordinate of a uniform unit vector: mean 0, variance 1/3
    assert abs(first.var() - 1 / 3) < 0.05


@pytest.mark.parametrize("shared", [False, True])
def test_gains_are_sqrt2_001_and_1_and_biases_zero(shared):
    params = mlp(2, (6, 4), shared_torso=shared).init(key(0), OBS[:1])
    for torso in ("actor", "critic")[: 1 if shared else 2]:
        (layers,) = params[torso]
        first, second = (weights(layer) for layer in layers)
        np.testing.assert_allclose(first @ first.T, 2.0 * np.eye(3), atol=1e-5)
        np.testing.assert_allclose(second.T @ second, 2.0 * np.eye(4), atol=1e-5)
    policy, value = weights(params["policy_head"]), weights(params["value_head"])
    np.testing.assert_allclose(policy.T @ policy, 1e-4 * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(value.T @ value, np.eye(1), atol=1e-5)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))


def test_a_shared_torso_has_no_critic_layers_and_separate_ones_differ():
    assert mlp(2, (4,), shared_torso=True).init(key(0), OBS[:1])["critic"] == []
    params = mlp(2, (4,)).init(key(0), OBS[:1])
    assert np.abs(params["actor"][0][0]["w"] - params["critic"][0][0]["w"]).max() > 0.01


def test_the_key_decides_the_weights():
    one, same, other = (mlp(2).init(key(i), OBS[:1]) for i in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert np.abs(one["actor"][0][0]["w"] - other["actor"][0][0]["w"]).max() > 0.01


def test_init_of_16_seeds_is_numpy_and_compiles_nothing():
    # LAPACK under JAX's CPU thread pool can deadlock for some numbers of seeds.
    events = []
    listener = lambda event, duration, **_: events.append(event)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        seeds = [mlp(6, (64, 64)).init(key(i), np.zeros((1, 17))) for i in range(16)]
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert not [event for event in events if "compile" in event]
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(seeds))
    assert len({float(params["value_head"]["w"].sum()) for params in seeds}) == 16


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_of_the_value_reach_the_actors_layers_only_through_a_shared_torso(shared):
    network = mlp(2, (4,), shared_torso=shared)
    params = network.init(key(3), OBS[:1])
    of_value = jax.grad(lambda p: network.apply(p, OBS)[1].sum())(params)
    of_policy = jax.grad(lambda p: network.apply(p, OBS)[0][:, 0].sum())(params)
    moved = {name: any(np.abs(x).max() > 0 for x in jax.tree.leaves(part)) for name, part in of_value.items()}
    assert moved == {"actor": shared, "critic": not shared, "policy_head": False, "value_head": True}
    moved = {name: any(np.abs(x).max() > 0 for x in jax.tree.leaves(part)) for name, part in of_policy.items()}
    assert moved == {"actor": True, "critic": False, "policy_head": True, "value_head": False}


@pytest.mark.parametrize(
    ("activation", "at_1", "at_minus_1"),
    [
        ("tanh", 0.761594, -0.761594),
        ("relu", 1.0, 0.0),
        ("elu", 1.0, -0.632121),
        ("silu", 0.731059, -0.268941),
    ],
)
def test_activations_against_hand_numbers(activation, at_1, at_minus_1):
    network = mlp(1, (1,), activation)
    params = jax.tree.map(np.ones_like, network.init(key(0), np.zeros((1, 1))))
    params["actor"][0][0]["b"] = params["critic"][0][0]["b"] = np.zeros(1, np.float32)
    out, value = network.apply(params, np.array([[1.0], [-1.0]], np.float32))
    # heads: weight 1, bias 1
    np.testing.assert_allclose(out, [[1 + at_1], [1 + at_minus_1]], rtol=1e-5)
    np.testing.assert_allclose(value, [1 + at_1, 1 + at_minus_1], rtol=1e-5)


def test_every_activation_has_a_hand_number():
    assert set(ACTIVATIONS) == {"tanh", "relu", "elu", "silu"}


def test_eager_jit_and_vmap_agree():
    network = mlp(2, (8, 8))
    seeds = [network.init(key(i), OBS[:1]) for i in range(3)]
    eager = [network.apply(params, OBS) for params in seeds]
    assert eager[0][0].shape == (5, 2)
    assert eager[0][1].shape == (5,)
    stacked = jax.tree.map(lambda *x: np.stack(x), *seeds)
    together = jax.jit(jax.vmap(network.apply, in_axes=(0, None)))(stacked, OBS)
    for i, parts in enumerate(eager):
        for one, all_of_them in zip(parts, together):
            np.testing.assert_allclose(one, all_of_them[i], atol=1e-5)
    alone = network.apply(seeds[0], OBS[2:3])  # a row does not depend on its neighbours
    np.testing.assert_allclose(alone[0], eager[0][0][2:3], atol=1e-6)


def test_observations_of_any_shape_are_flattened_row_by_row():
    images = OBS.reshape(5, 1, 3, 1)
    network = mlp(2, (4,))
    params = network.init(key(0), images[:1])
    for a, b in zip(network.apply(params, images), network.apply(params, OBS)):
        np.testing.assert_array_equal(a, b)


NESTED = {"a": OBS[:, :2], "b": (OBS[:, 2:], OBS.reshape(5, 3, 1))}  # leaves of 2, 1 and 3 x 1 numbers


def test_a_nested_observation_is_one_vector_of_its_leaves():
    network = mlp(2, (4,))
    params = network.init(key(0), jax.tree.map(lambda x: x[:1], NESTED))
    flat = np.concatenate([OBS[:, :2], OBS[:, 2:], OBS], axis=1)
    for a, b in zip(network.apply(params, NESTED), network.apply(params, flat)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shared", [False, True])
def test_branch_torsos_see_one_leaf_each_and_their_features_stand_side_by_side(shared):
    network = mlp(2, (4, 5), shared_torso=shared, branch_torsos=True)
    params = network.init(key(0), jax.tree.map(lambda x: x[:1], NESTED))
    for torso in ("actor", "critic")[: 1 if shared else 2]:
        assert [[layer["w"].shape for layer in layers] for layers in params[torso]] == [
            [(width, 4), (4, 5)] for width in (2, 1, 3)
        ]
    assert params["policy_head"]["w"].shape == (15, 2)
    changed = {"a": NESTED["a"] + 1.0, "b": NESTED["b"]}
    for part, other in (("policy_head", 0), ("value_head", 1)):
        rest = params[part]["w"].copy()
        rest[:5] = 0.0  # without the first leaf's features its value matters to nothing
        blind = {**params, part: {**params[part], "w": rest}}
        np.testing.assert_array_equal(network.apply(blind, NESTED)[other], network.apply(blind, changed)[other])
        assert np.abs(network.apply(params, NESTED)[other] - network.apply(params, changed)[other]).max() > 1e-5


def test_a_dense_layer_has_the_gradient_that_jax_derives():
    rng = np.random.default_rng(0)
    x, w, b, g = (jax.numpy.asarray(rng.standard_normal(s), "float32") for s in ((7, 5), (5, 3), (3,), (7, 3)))
    plain = lambda x, w, b: jax.numpy.sum(g * jax.numpy.tanh(x @ w + b[None]))  # noqa: E731
    ours = lambda x, w, b: jax.numpy.sum(g * jax.numpy.tanh(affine(x, w, b)))  # noqa: E731
    for mine, theirs in zip(jax.grad(ours, (0, 1, 2))(x, w, b), jax.grad(plain, (0, 1, 2))(x, w, b)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    curvature = [jax.jit(jax.vjp(jax.grad(f, 1), x, w, b)[1])(w)[1] for f in (ours, plain)]
    np.testing.assert_allclose(*curvature, rtol=1e-4, atol=1e-5)


def test_layer_norm_by_hand():
    # Means 2 and 5, variances 2/3 and 0: a row of equal numbers stays finite.
    x = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]], np.float32)
    scale, offset = np.array([1.0, 2.0, 1.0], np.float32), np.array([0.0, 0.5, -1.0], np.float32)
    unit = 1 / np.sqrt(2 / 3 + 1e-5)
    expected = [[-unit, 0.5, unit - 1], [0.0, 0.5, -1.0]]
    np.testing.assert_allclose(normalise_layer(x, scale, offset), expected, atol=1e-6)


def test_layer_norm_is_before_each_activation_and_draws_no_other_weights():
    plain, network = (mlp(2, (6, 4), "relu", layer_norm=x) for x in (False, True))
    params, with_norm = (x.init(key(0), OBS[:1]) for x in (plain, network))
    x = np.asarray(OBS, np.float64)
    for layer, other in zip(with_norm["actor"][0], params["actor"][0]):
        np.testing.assert_array_equal(layer["w"], other["w"])
        assert (layer["scale"] == 1).all()
        assert (layer["offset"] == 0).all()
        x = x @ layer["w"] + layer["b"]
        x = np.maximum((x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5), 0)
    out, _ = network.apply(with_norm, OBS)
    np.testing.assert_allclose(out, x @ with_norm["policy_head"]["w"], atol=1e-6)
    assert "scale" in with_norm["critic"][0][1]
    assert "scale" not in params["critic"][0][1]
