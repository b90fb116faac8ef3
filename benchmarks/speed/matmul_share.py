"""How much of the machine's matrix-product speed an update reaches: 64 x 64 networks, minibatches of 1024.

python benchmarks/speed/matmul_share.py

Run by ``run_matmul.py``, where the count of operations is written down. The share is of the speed of a single-precision
product of [1024, 64] by [64, 64], the largest of the update's own; that of 1024 x 1024 x 1024 is recorded too.
"""

from gymnax_cartpole import SETTINGS
from measure import Contestant, arguments, compare


def main() -> None:
    options = arguments(__doc__, steps=0)
    settings = SETTINGS | {"num_envs": 64, "minibatch_size": 1024, "steps": 10_000_000}
    compare("matmul_share", [Contestant("proximax", "run_matmul.py", settings)], options)


if __name__ == "__main__":
    main()
