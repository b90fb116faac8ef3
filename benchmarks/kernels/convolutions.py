"""Convolutions on CPU: XLA's own, naive im2col, ours, and PyTorch's; writes convolutions.md.

    python benchmarks/kernels/convolutions.py [--torch PYTHON]

``PYTHON`` is an interpreter that has PyTorch; without it PyTorch is left out. Two networks on 256 float32 images: Mnih
et al. 2015 on 84 x 84 x 4, ``convnets.patch_cnn`` on 42 x 42 x 2. ``forward`` is both heads; ``learning`` a value of
both and its gradient for every parameter. Contestants take turns; the table has the medians, in brackets the least.

Operations are two for each multiply-add of the network itself; what a form computes in addition does not count.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.networks import Padding, Pair, convnets, convolve, pair
from proximax.runtime import compilation, key_from_data

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "speed"))
from measure import commit, describe_machine  # noqa: E402

BATCH, OUTPUTS, TURNS, REPEATS = 256, 4, 5, 3
Convolution = Callable[..., jax.Array]


def by_xla(x: jax.Array, w: jax.Array, b: jax.Array, stride: int | Pair = 1, padding: Padding = "VALID") -> jax.Array:
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, pair(stride), padding, dimension_numbers=axes) + b[None, None, None]


def by_im2col(
    x: jax.Array, w: jax.Array, b: jax.Array, stride: int | Pair = 1, padding: Padding = "VALID"
) -> jax.Array:
    """Every pixel of the kernel a strided copy of the images, side by side, times the kernel; all images at once."""
    (down, across), (rows, columns) = pair(stride), w.shape[:2]
    height, width = (x.shape[1] - rows) // down + 1, (x.shape[2] - columns) // across + 1
    beside = [
        x[:, i : i + (height - 1) * down + 1 : down, j : j + (width - 1) * across + 1 : across]
        for i, j in np.ndindex(rows, columns)
    ]
    return jnp.concatenate(beside, axis=-1) @ w.reshape(-1, w.shape[-1]) + b[None, None, None]


FORMS: dict[str, Convolution] = {"XLA's convolution": by_xla, "naive im2col": by_im2col, "ours": convolve}
NETWORKS = {
    "nature": (convnets.nature(OUTPUTS), (4, 84, 84), [(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512),
    "patch-cnn": (convnets.patch_cnn(OUTPUTS), (2, 42, 42), [(16, 6, 3), (32, 4, 2)], 256),
}


def operations(shape: tuple[int, ...], layers: list[tuple[int, int, int]], hidden: int) -> dict[str, int]:
    """Of one image. Learning: three times the forward pass, except that nothing flows back to the observations."""
    inside, rows, columns = shape
    counts = []
    for outside, kernel, stride in layers:
        rows, columns = (rows - kernel) // stride + 1, (columns - kernel) // stride + 1
        counts.append(2 * rows * columns * outside * kernel * kernel * inside)
        inside = outside
    forward = sum(counts) + 2 * (rows * columns * inside * hidden + hidden * (OUTPUTS + 1))
    return {"forward": forward, "learning": 3 * forward - counts[0]}


def programs(name: str, form: Convolution) -> dict[str, Callable[[], Any]]:
    """What is timed, compiled."""
    network, shape, *_ = NETWORKS[name]
    x = np.random.default_rng(0).random((BATCH, *shape), np.float32)
    params = jax.device_put(network.init(key_from_data(np.array([0, 1], np.uint32)), x[:1]))
    convnets.convolve = form  # type: ignore[assignment]  # what the network finds when it is traced

    def loss(params: Any, x: jax.Array) -> jax.Array:
        outputs, values = network.apply(params, x)
        return jnp.mean(jnp.square(outputs)) + jnp.mean(jnp.square(values))

    compiled = {
        "forward": compilation.jit(partial(network.apply)).lower(params, x).compile(),
        "learning": compilation.jit(jax.value_and_grad(loss)).lower(params, x).compile(),
    }
    x = jax.device_put(x)
    return {what: partial(program, params, x) for what, program in compiled.items()}


def time_once(program: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(program())
    return (time.perf_counter() - start) * 1e3


def by_torch(python: str, name: str) -> dict[str, dict[str, list[float]]]:
    _, shape, layers, hidden = NETWORKS[name]
    told = {"batch": BATCH, "outputs": OUTPUTS, "shape": shape, "layers": layers, "hidden": hidden, "repeats": REPEATS}
    command = [python, str(HERE / "convolutions_torch.py"), json.dumps(told)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(name: str, python: str | None) -> dict[str, dict[str, list[float]]]:
    """``[contestant][forward or learning]``: milliseconds, of every repeat of every turn."""
    ready = {who: programs(name, form) for who, form in FORMS.items()}
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(TURNS):
        for who, both in ready.items():
            for what, program in both.items():
                time_once(program)
                times = [time_once(program) for _ in range(REPEATS)]
                found.setdefault(who, {}).setdefault(what, []).extend(times)
        for who, both in (by_torch(python, name) if python else {}).items():
            for what, times in both.items():
                found.setdefault(who, {}).setdefault(what, []).extend(times)
        print(f"{name}: turn {turn + 1} of {TURNS}")
    return found


def page(record: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        "# Convolutions on CPU",
        "",
        "<!-- written by convolutions.py -->",
        f"`{record['command']}`: 256 images, float32, {record['machine']['cores']} cores ({record['machine']['cpu']}), "
        f"commit {record['commit']}. Milliseconds, medians (least in brackets); GFLOP/s of the medians.",
    ]
    if record["load"] > 0.5:
        lines += [
            "",
            f"The machine was not quiet: load {record['load']:.1f} before the start. Take the numbers as ratios.",
        ]
    for name, network in record["networks"].items():
        image = " x ".join(str(n) for n in (*NETWORKS[name][1][1:], NETWORKS[name][1][0]))
        lines += [
            "",
            f"## `{name}`, {image}",
            "",
            "| | forward | GFLOP/s | learning | GFLOP/s |",
            "|---|--:|--:|--:|--:|",
        ]
        for who, both in network.items():
            cells = [
                f"{both[what]['ms']:.1f} ({both[what]['least']:.1f}) | {both[what]['gflops']:.0f}"
                for what in ("forward", "learning")
            ]
            lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Convolutions on CPU, timed.")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    options = parser.parse_args()
    load = float(Path("/proc/loadavg").read_text().split()[0])
    networks = {}
    for name, (_, shape, layers, hidden) in NETWORKS.items():
        count = {what: BATCH * n for what, n in operations(shape, layers, hidden).items()}
        networks[name] = {
            who: {
                what: {
                    "ms": statistics.median(times),
                    "least": min(times),
                    "gflops": count[what] / statistics.median(times) / 1e6,
                    "all": [round(t, 3) for t in times],
                }
                for what, times in both.items()
            }
            for who, both in measure(name, options.torch).items()
        }
    record = {
        "command": "python benchmarks/kernels/convolutions.py" + (" --torch PYTHON" if options.torch else ""),
        "commit": commit(),
        "machine": describe_machine(),
        "load": load,
        "networks": networks,
    }
    (HERE.parent / "results" / "kernels" / "convolutions.json").write_text(json.dumps(record, indent=1) + "\n")
    (HERE / "convolutions.md").write_text(page(record))
    print(page(record))


if __name__ == "__main__":
    main()
