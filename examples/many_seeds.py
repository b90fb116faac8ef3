"""Eight seeds in one program, on a JAX environment, with a confidence interval instead of a single curve."""

import proximax


def main(steps: int = 100_000, seeds: int = 8) -> None:
    result = proximax.train("gymnax:CartPole-v1", preset="cartpole", steps=steps, seeds=seeds, normalise_obs=False)
    summary = result.summary
    print(f"mean {summary.mean:.1f}, interquartile mean {summary.iqm:.1f}, 95 % interval {summary.ci95}")


if __name__ == "__main__":
    main()
