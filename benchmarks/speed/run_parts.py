"""An update against its environments alone and its learning alone, by ``proximax bench``: ``run_parts.py SETTINGS``."""

from driver import finish, settings
from run_proximax import PACKAGES, PLAIN

from proximax.profiling import bench
from proximax.training import resolve


def main() -> None:
    s = settings()
    config, _ = resolve(s["env"], "none", {k: v for k, v in PLAIN.items() if k not in ("preset", "quiet")} | s)
    measured = bench(config, seconds=3.0)
    parts, wall = measured.parts, measured.whole
    values = {f"{name}_s": seconds for name, seconds in parts.items()} | {
        "wall_s": wall,
        "wall_over_larger": wall / max(parts["environment"], parts["learning"]),
        "wall_over_sum": wall / sum(parts.values()),
    }
    finish(values, *PACKAGES)


if __name__ == "__main__":
    main()
