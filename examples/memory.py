"""Memory: CartPole that shows no velocities, with a network that remembers.

One observation does not say which way the pole falls. Two of them do, so a recurrent policy balances it; without memory
(``network="mlp"``) returns stay near 40.
"""

import gymnasium

import proximax
from proximax.envs import hide_velocities


def main(steps: int = 60_000, network: str = "gru") -> None:
    """Train, then act: an agent with memory is told where an episode opens."""
    result = proximax.train(
        lambda: hide_velocities(gymnasium.make("CartPole-v1")),
        network=network,
        steps=steps,
        num_steps=128,
        minibatch_size=256,
        learning_rate=1e-3,
        quiet=True,
    )
    print(f"mean return {result.evaluation.returns.mean():.1f}")
    env, agent = hide_velocities(gymnasium.make("CartPole-v1")), result.agent
    agent.reset()
    (obs, _), over, total = env.reset(seed=0), False, 0.0
    while not over:
        obs, reward, terminated, truncated, _ = env.step(agent.act(obs))
        total, over = total + float(reward), terminated or truncated
    print(f"one episode: {total:.0f}")


if __name__ == "__main__":
    main()
