"""Floating-point operations per second of learning, and of bare products: ``run_matmul.py SETTINGS``.

Operations of matrix products only, two for each multiply-add, as ``profiling.throughput`` counts them in the program.
With P_a, P_c weights of actor and critic, biases left out, and F weights of the first layer of each, learning from B
rows in K epochs takes

    B (2 P_a + 4 P_c)               π and V of the rollout, V of the states it reached
    + K B (6 (P_a + P_c) - 4 F)     forward and backward; nothing flows back to the observations
    + B (2 P_a + 42)                π of the whole rollout afterwards and its histogram, for the metrics
"""

import jax
import jax.numpy as jnp
import numpy as np
from driver import finish, settings
from run_proximax import PACKAGES, PLAIN

from proximax.profiling import bench, seconds_of
from proximax.runtime import compilation
from proximax.training import resolve

SECONDS = 3.0  # each is measured for about this long


def product_speed(rows: int, width: int) -> float:
    """Operations per second of [rows, width] by [width, width], over and over in one program."""
    times = max(1, 2**31 // (2 * rows * width * width))
    rng = np.random.default_rng(0)
    rotation = jnp.asarray(np.linalg.qr(rng.standard_normal((width, width)))[0], jnp.float32)
    x = jnp.asarray(rng.standard_normal((rows, width)), jnp.float32)
    program = compilation.jit(lambda x, w: jax.lax.fori_loop(0, times, lambda _, x: jnp.dot(x, w), x))
    return 2 * rows * width * width * times / seconds_of(lambda: program(x, rotation), SECONDS)


def main() -> None:
    s = settings() | {"env": "gymnax:CartPole-v1"}
    s.pop("seed")
    config, _ = resolve(s["env"], "none", {k: v for k, v in PLAIN.items() if k not in ("preset", "quiet")} | s)
    measured = bench(config, seconds=SECONDS)
    speed, small = measured.operations / measured.parts["learning"], product_speed(config.ppo.minibatch_size or 0, 64)
    values = {
        "update_ms": measured.parts["learning"] * 1e3,
        "update_mflop": measured.operations / 1e6,
        "update_gflops": speed / 1e9,
        "product_64_gflops": small / 1e9,
        "product_1024_gflops": measured.product / 1e9,
        "share_of_64": speed / small,
        "share_of_1024": measured.share,
    }
    finish(values, *PACKAGES)


if __name__ == "__main__":
    main()
