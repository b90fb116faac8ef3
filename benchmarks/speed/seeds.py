"""Several seeds side by side against one, in the setting of gymnax_cartpole.py with 4 environments.

python benchmarks/speed/seeds.py --purejaxrl FOLDER

PureJaxRL with 2, 4 or 16 seeds hangs forever on CPU (QR under vmap locks up XLA's thread pool), so it runs with 8.
Where that hangs too, the run is given up after five minutes and counted as failed.
"""

from gymnax_cartpole import sized
from measure import Contestant, arguments, compare


def main() -> None:
    options = arguments(__doc__, steps=500_000)
    s = sized(4, options.steps)
    contestants = []
    for seeds in (1, 8, 2, 4, 16, 64):
        settings = s | {"value_epsilon": 0.2, "seeds": seeds}
        repeats = None if seeds in (1, 8) else 1  # the others only have to finish
        contestants.append(Contestant(f"proximax, {seeds}", "run_proximax.py", settings, repeats=repeats))
    if options.purejaxrl:
        for seeds in (1, 8):
            settings = s | {"seeds": seeds, "folder": str(options.purejaxrl.absolute())}
            contestants.append(Contestant(f"PureJaxRL, {seeds}", "run_purejaxrl.py", settings, "rejax", timeout=300))
    compare("seeds", contestants, options)


if __name__ == "__main__":
    main()
