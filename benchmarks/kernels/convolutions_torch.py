"""PyTorch's part of convolutions.py, run by an interpreter that has it: ``convolutions_torch.py NETWORK`` (JSON)."""

import itertools
import json
import os
import sys
import time

import torch

THREADS = len(os.sched_getaffinity(0))


def time_once(program) -> float:
    start = time.perf_counter()
    program()
    return (time.perf_counter() - start) * 1e3


def measure(told, memory) -> dict[str, list[float]]:
    """Milliseconds of the forward pass and of learning, eager, after one of each to warm up."""
    inside, rows, columns = told["shape"]
    parts, size = [], (rows, columns)
    for outside, kernel, stride in told["layers"]:
        parts += [torch.nn.Conv2d(inside, outside, kernel, stride), torch.nn.ReLU()]
        inside, size = outside, tuple((n - kernel) // stride + 1 for n in size)
    parts += [torch.nn.Flatten(), torch.nn.Linear(inside * size[0] * size[1], told["hidden"]), torch.nn.ReLU()]
    # Both heads as one layer: one product less than ours.
    network = torch.nn.Sequential(*parts, torch.nn.Linear(told["hidden"], told["outputs"] + 1)).to(memory_format=memory)
    x = torch.rand(told["batch"], *told["shape"]).to(memory_format=memory)

    def forward() -> None:
        with torch.no_grad():
            network(x)

    def learn() -> None:
        network.zero_grad()
        network(x).square().mean().backward()

    found = {}
    for what, program in (("forward", forward), ("learning", learn)):
        found[what] = [time_once(program) for _ in itertools.repeat(None, told["repeats"] + 3)][3:]
    return found


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    layouts = {"PyTorch, channels first": torch.contiguous_format, "PyTorch, channels last": torch.channels_last}
    print(json.dumps({who: measure(json.loads(sys.argv[1]), memory) for who, memory in layouts.items()}))
