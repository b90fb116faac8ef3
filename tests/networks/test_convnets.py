"""Convolutions against loops in NumPy and XLA's own; networks for images: shapes, sizes, gains, refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import UsageError
from proximax.networks.convnets import Layer, _pool, images, impala, nature, patch_cnn, plain_cnn, pong_small
from proximax.networks.convolution import _chunk, _convolve, _in_chunks, _in_chunks_backward, _xla, convolve
from proximax.runtime.prng import key_from_data

exact = pytest.mark.optimised  # bounds on rounding are those of the programs that users have
MORE = pytest.mark.exhaustive

KEY = key_from_data(np.array([0, 1], np.uint32))
# rows, columns, kernel, stride, channels in, channels out: those of the networks, made small; strides that do not
# divide the kernel, or the image; a stride beyond the kernel; images that the kernel just fits; both ways to multiply.
CASES = [
    (20, 20, 8, 4, 4, 8),
    (21, 18, 8, 4, 2, 16),
    (9, 9, 4, 2, 8, 16),
    (10, 11, 4, 2, 3, 2),
    (7, 7, 3, 1, 8, 8),
    (5, 6, 3, 1, 1, 4),
    (12, 13, 6, 2, 2, 4),
    (17, 14, 6, 4, 4, 16),
    (6, 6, 6, 3, 2, 1),
    (9, 8, 1, 1, 3, 5),
    (9, 8, 2, 3, 3, 5),
    (3, 3, 3, 2, 2, 2),
    (12, 9, (8, 4), (4, 2), 2, 4),
    (12, 9, (2, 3), (1, 3), 2, 4),
]


def arrays(rows, columns, kernel, stride, inside, outside, padding, batch=3):
    rng = np.random.default_rng(rows + columns)
    down, across = np.broadcast_to(kernel, 2)
    x, w = rng.standard_normal((batch, rows, columns, inside)), rng.standard_normal((down, across, inside, outside))
    w, b = w / np.sqrt(down * across * inside), rng.standard_normal(outside)
    stride = tuple(int(s) for s in np.broadcast_to(stride, 2))
    g = rng.standard_normal(jax.eval_shape(partial(_xla, stride, padding), x, w, b).shape)
    return tuple(np.asarray(a, np.float32) for a in (x, w, b, g)), stride


def by_loops(stride, padding, x, w, b, g):
    """Output and gradients of x, w and b in float64, one output pixel after the other."""
    x, w, b, g = (np.asarray(a, np.float64) for a in (x, w, b, g))
    kernel, around = w.shape[:2], [(0, 0), (0, 0)]
    if padding == "SAME":
        added = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(x.shape[1:3], kernel, stride)]
        around = [(n // 2, n - n // 2) for n in added]
    padded = np.pad(x, [(0, 0), *around, (0, 0)])
    y, of_padded, of_w = np.zeros(g.shape), np.zeros(padded.shape), np.zeros(w.shape)
    for i, j in np.ndindex(g.shape[1:3]):
        seen = np.s_[:, i * stride[0] : i * stride[0] + kernel[0], j * stride[1] : j * stride[1] + kernel[1]]
        y[:, i, j] = np.einsum("buvc,uvcd->bd", padded[seen], w) + b
        of_w += np.einsum("buvc,bd->uvcd", padded[seen], g[:, i, j])
        of_padded[seen] += np.einsum("bd,uvcd->buvc", g[:, i, j], w)
    (top, _), (left, _) = around
    return y, of_padded[:, top : top + x.shape[1], left : left + x.shape[2]], of_w, g.sum((0, 1, 2))


def output_and_gradients(stride, padding, x, w, b, g, form=_convolve):
    y, backward = jax.vjp(partial(form, stride, padding), x, w, b)
    return y, *backward(g)


def assert_close(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1.0, np.abs(other).max()))


@exact
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_loops_and_of_xla(case, padding):
    given, stride = arrays(*case, padding)
    forms = [partial(output_and_gradients, stride, padding, form=form) for form in (_convolve, _xla)]
    ours, theirs = jax.jit(lambda *given: [form(*given) for form in forms])(*given)
    assert_close(ours, by_loops(stride, padding, *given), 3e-6)
    assert_close(ours, theirs)


@exact
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("case", [CASES[1], CASES[4], CASES[7], CASES[10]])
def test_in_float64_the_form_for_cpu_is_exact(case, padding):
    given, stride = arrays(*case, padding)
    with jax.enable_x64(True):
        wide = [jnp.asarray(a, jnp.float64) for a in given]
        ours = jax.jit(
            lambda *given: (
                _in_chunks(stride, padding, *given[:3]),
                *_in_chunks_backward(stride, padding, *given),
            )
        )(*wide)
        assert_close(ours, by_loops(stride, padding, *given), 1e-12)


@exact
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8, 11])
def test_chunks_do_not_show(batch, monkeypatch):
    monkeypatch.setattr("proximax.networks.convolution.CHUNK_FLOATS", 12_000)  # 2 images
    for case in (CASES[0], CASES[4]):
        given, stride = arrays(*case, "VALID", batch)
        assert _chunk(stride, "VALID", *given[:2]) in (2, 4)
        ours = jax.jit(partial(output_and_gradients, stride, "VALID"))(*given)
        assert_close(ours, by_loops(stride, "VALID", *given))


def test_chunks_are_powers_of_two_that_fit_the_cache():
    sizes = {"first": ((84, 84, 4), (8, 8, 4, 32), (4, 4)), "last": ((9, 9, 64), (3, 3, 64, 64), (1, 1))}
    found = {
        name: _chunk(s, "VALID", np.zeros((1, *image)), np.zeros(kernel)) for name, (image, kernel, s) in sizes.items()
    }
    assert found == {"first": 8, "last": 16}
    assert _chunk((1, 1), "SAME", np.zeros((1, 999, 999, 9)), np.zeros((3, 3, 9, 9))) == 1


@exact
@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(CASES[i], marks=() if i == 4 else MORE) for i in (0, 4, 7)])
def test_eager_jit_and_vmap_agree(case):
    given, stride = arrays(*case, "VALID", 6)
    eager = output_and_gradients(stride, "VALID", *given)
    np.testing.assert_array_equal(convolve(*given[:3], stride), eager[0])
    assert_close(jax.jit(partial(output_and_gradients, stride, "VALID"))(*given), eager)
    x, w, b, g = given
    seeds = (np.stack([x, 2 * x]), np.stack([w, -w]), np.stack([b, b]), np.stack([g, g]))
    both = jax.jit(jax.vmap(partial(output_and_gradients, stride, "VALID")))(*seeds)
    for i in range(2):
        assert_close(
            [a[i] for a in both], jax.jit(partial(output_and_gradients, stride, "VALID"))(*[a[i] for a in seeds])
        )
    shared = jax.vmap(partial(output_and_gradients, stride, "VALID"), (None, 0, 0, None))(x, *seeds[1:3], g)
    assert_close([a[0] for a in shared], eager)


@pytest.mark.slow
@exact
def test_a_gradient_of_a_gradient():
    (x, w, b, _), stride = arrays(*CASES[3], "VALID")
    curvature = [
        jax.jit(jax.vjp(jax.grad(lambda w, f=f: jnp.sum(jnp.tanh(f(stride, "VALID", x, w, b)))), w)[1])(w)[0]
        for f in (_convolve, _xla)
    ]
    np.testing.assert_allclose(*curvature, rtol=1e-4, atol=1e-4)


def test_each_platform_gets_its_own_form_of_one_program():
    given, stride = arrays(*CASES[0], "VALID")
    learn = jax.jit(partial(output_and_gradients, stride, "VALID"))
    for platform, convolutions in (("cpu", 0), ("cuda", 3)):
        text = jax.export.export(learn, platforms=[platform])(*given).mlir_module()
        assert text.count("stablehlo.convolution") == convolutions, platform
        assert ("stablehlo.dot_general" in text) == (platform == "cpu")


def test_a_kernel_beyond_the_image_is_refused():
    with pytest.raises(UsageError, match=r"\(8, 8\).*\(7, 20\)"):
        convolve(jnp.zeros((1, 7, 20, 1)), jnp.zeros((8, 8, 1, 2)), jnp.zeros(2), 4)


# ---------------------------------------------------------------------------------------------- networks


def frames(*shape, batch=3):
    return np.random.default_rng(0).random((batch, *shape)).astype(np.float32)


def count(params):
    return sum(x.size for x in jax.tree.leaves(params))


NATURE = sum(
    (
        *(8 * 8 * 4 * 32 + 32, 4 * 4 * 32 * 64 + 64, 3 * 3 * 64 * 64 + 64),
        *(7 * 7 * 64 * 512 + 512, 512 * 4 + 4, 512 + 1),
    )
)
assert NATURE == 1_686_693
# 84 x 84 -> 42 -> 21 -> 11; each stage one convolution into it and four within.
IMPALA = sum(
    (
        *(9 * 4 * 16 + 16 + 4 * (9 * 16 * 16 + 16), 9 * 16 * 32 + 32 + 4 * (9 * 32 * 32 + 32), 5 * (9 * 32 * 32 + 32)),
        *(11 * 11 * 32 * 256 + 256, 256 * 4 + 4, 256 + 1),
    )
)
LESSON = 6 * 6 * 2 * 4 + 4 + 6 * 6 * 4 * 16 + 16 + 1296 * 256 + 256 + 256 * 4 + 4 + 256 + 1
BLOCKS = 6 * 6 * 2 * 16 + 16 + 4 * 4 * 16 * 32 + 32 + 5 * 5 * 32 * 256 + 256 + 256 * 4 + 4 + 256 + 1
NETWORKS = {
    "nature": (nature(4), (4, 84, 84), NATURE),
    "impala": (impala(4), (4, 84, 84), IMPALA),
    "pong-small": (pong_small(4), (2, 80, 80), LESSON),
    "patch-cnn": (patch_cnn(4), (2, 42, 42), BLOCKS),
}


# Pooling and residuals, and patches that leave a rest; convolutions by themselves are compared above.
BOTH_FORMS = {"impala", "patch-cnn"}


@pytest.mark.slow
@exact
@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_the_number_of_parameters(name):
    network, shape, by_hand = NETWORKS[name]
    params = network.init(KEY, frames(*shape, batch=1))
    assert count(params) == by_hand
    assert all(type(x) is np.ndarray and x.dtype == np.float32 for x in jax.tree.leaves(params))
    outputs, values = jax.jit(network.apply)(params, frames(*shape))
    assert outputs.shape == (3, 4)
    assert values.shape == (3,)
    alone = jax.jit(network.apply)(params, frames(*shape)[1:2])  # a row does not depend on its neighbours
    np.testing.assert_allclose(alone[0], outputs[1:2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(alone[1], values[1:2], rtol=1e-4, atol=1e-5)


@exact
@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in BOTH_FORMS else MORE) for name in NETWORKS])
def test_the_form_for_cpu_and_the_ordinary_one_are_one_network(name, monkeypatch):
    network, shape, _ = NETWORKS[name]
    params = network.init(KEY, frames(*shape, batch=1))

    def loss(params):
        outputs, values = network.apply(params, frames(*shape))
        return jnp.sum(jnp.sin(30 * outputs)) + jnp.sum(values**2)

    ours = jax.jit(jax.value_and_grad(loss))(params)
    monkeypatch.setattr(
        "proximax.networks.convnets.convolve",
        lambda x, w, b, stride=1, padding="VALID": _xla(np.broadcast_to(stride, 2), padding, x, w, b),
    )
    theirs = jax.jit(jax.value_and_grad(lambda params: loss(params)))(params)
    assert_close(jax.tree.leaves(ours), jax.tree.leaves(theirs), 2e-4)


def test_gains_are_sqrt2_001_and_1_and_biases_zero():
    params = nature(4, hidden=32).init(KEY, frames(4, 44, 44, batch=1))
    heads = [(params["policy_head"], 0.01), (params["value_head"], 1.0)]
    for layer, gain in [*((x, 2**0.5) for x in (*params["convolutions"], params["dense"])), *heads]:
        w = layer["w"].reshape(-1, layer["w"].shape[-1])
        np.testing.assert_allclose(w.T @ w, gain**2 * np.eye(w.shape[1]), atol=1e-5)
        assert not layer["b"].any()
    other = nature(4, hidden=32).init(key_from_data(np.array([0, 2], np.uint32)), frames(4, 44, 44, batch=1))
    assert np.abs(params["dense"]["w"] - other["dense"]["w"]).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_pixel_counts_that_a_kernel_reaches(name):
    network, shape, _ = NETWORKS[name]
    params = network.init(KEY, frames(*shape, batch=1))
    steep = {**params, "policy_head": {**params["policy_head"], "w": 100 * params["policy_head"]["w"]}}
    reach = jax.jit(jax.grad(lambda x: jnp.sum(network.apply(steep, x)[0][:, 0])))(frames(*shape))
    seen = (np.asarray(reach) != 0).any(0).mean()
    # blocks: (42 - 6) / 3 leaves nothing, (13 - 4) / 2 one row of 13 and with it 3 of 42 pixels.
    assert seen > {"nature": 0.97, "impala": 0.97, "pong-small": 0.85, "patch-cnn": 0.8}[name]
    reached = jax.jit(jax.grad(lambda p: network.apply({**steep, **p}, frames(*shape))[1].sum()))
    first = jax.tree.leaves(reached({k: v for k, v in params.items() if k in ("convolutions", "stages")}))[1]
    assert (np.asarray(first) != 0).mean() > 0.8


def test_the_axes_of_images():
    x = frames(4, 20, 30)
    np.testing.assert_array_equal(images(x), x.transpose(0, 2, 3, 1))  # frames first
    np.testing.assert_array_equal(images(frames(20, 30, 3)), frames(20, 30, 3))  # channels last
    np.testing.assert_array_equal(images(frames(10, 10, 10)), frames(10, 10, 10))  # neither is shorter
    np.testing.assert_array_equal(images(frames(20, 30)), frames(20, 30)[..., None])
    colour = frames(2, 20, 30, 3)
    np.testing.assert_array_equal(images(colour)[..., 3:], colour[:, 1])
    assert images(colour).shape == (3, 20, 30, 6)


@pytest.mark.parametrize("shape", [(20, 20), (2, 20, 20), (20, 20, 3), (2, 20, 20, 3)])
def test_networks_take_every_form(shape):
    network = patch_cnn(2, 2, (4, 4), 8)
    outputs, values = jax.jit(network.apply)(network.init(KEY, frames(*shape, batch=1)), frames(*shape))
    assert outputs.shape == (3, 2)
    assert values.shape == (3,)


@pytest.mark.parametrize(
    ("network", "shape", "least"),
    [
        (nature(4), (4, 35, 84), "36 x 36"),
        (nature(4), (4, 84, 35), "36 x 36"),
        (pong_small(4), (2, 15, 16), "16 x 16"),
        (patch_cnn(4, 3), (2, 14, 15), "15 x 15"),
        (patch_cnn(4, (6, 3)), (2, 84, 14), "30 x 15"),
    ],
)
def test_images_too_small_are_refused_with_the_least_that_works(network, shape, least):
    with pytest.raises(UsageError, match=least) as refused:
        network.init(KEY, frames(*shape, batch=1))
    assert str(shape) in str(refused.value)
    rows, columns = (int(n) for n in least.split(" x "))
    small = frames(2, rows, columns)
    assert jax.eval_shape(network.apply, network.init(KEY, small[:1]), small)[0].shape == (3, 4)


@pytest.mark.parametrize(
    "obs", [np.zeros((1, 5)), {"a": np.zeros((1, 9, 9))}, np.zeros((1, 2, 3, 4, 5, 6)), np.zeros(())]
)
def test_what_is_no_image_is_refused(obs):
    for network in (nature(2), impala(2)):
        with pytest.raises(UsageError, match=r"one image.*proximax\.mlp"):
            network.init(KEY, obs)


@exact
@pytest.mark.parametrize("shape", [(1, 6), (2, 3), (5, 1), (8, 5)])
def test_pooling_of_impala_is_that_of_xla(shape):
    xla = lambda x: jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")  # noqa: E731
    x = frames(*shape, 2) - 0.5
    (ours, of_ours), (theirs, of_theirs) = jax.jit(
        lambda x: [(y, back(jnp.cos(y))[0]) for y, back in (jax.vjp(pool, x) for pool in (_pool, xla))]
    )(x)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(of_ours, of_theirs, rtol=1e-6)


def test_a_network_of_ones_own_layers():
    network = plain_cnn(3, [Layer(4, (5, 3), (2, 1)), Layer(8, 2, 2)], 16, "tanh")
    params = network.init(KEY, frames(9, 11, batch=1))
    assert [x["w"].shape for x in params["convolutions"]] == [(5, 3, 1, 4), (2, 2, 4, 8)]
    assert params["dense"]["w"].shape == (1 * 4 * 8, 16)  # 9 x 11 -> 3 x 9 -> 1 x 4
    assert jax.eval_shape(network.apply, params, frames(9, 11))[0].shape == (3, 3)
