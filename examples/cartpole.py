"""Train CartPole-v1 until it is solved, then use the policy."""

import gymnasium

import proximax


def main(steps: int = 100_000, stop_at_return: float | None = 475) -> None:
    result = proximax.train("CartPole-v1", steps=steps, stop_at_return=stop_at_return)
    print(f"mean return {result.summary.mean:.1f} after {result.steps:,} steps in {result.wall_s:.1f} s")

    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=0)
    total, ended = 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = env.step(result.agent.act(obs))
        total, ended = total + float(reward), terminated or truncated
    print(f"one episode: {total:.0f}")


if __name__ == "__main__":
    main()
