"""The monotonic improvement bound behind TRPO and PPO in exact numbers, on an MDP small enough to solve.

A policy is ``softmax(logits)[row]``: state s acts by row ``row[s]`` of the logits. States that share a row share
parameters, as all states do in a network. NumPy in float64 throughout; the numbers are explained in
docs/algorithms/trust-region-theory.md.
"""

import itertools
from typing import NamedTuple

import numpy as np

OWN, SHARED = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])  # a row for each state; a row for two states


class MDP(NamedTuple):
    """A Markov decision process with known dynamics."""

    move: np.ndarray  # [S, A, S] P(next state | state, action)
    reward: np.ndarray  # [S, A]
    start: np.ndarray  # [S] P(first state)
    gamma: float


class Solved(NamedTuple):
    """Everything about a policy π; leading axes are a batch of policies."""

    eta: np.ndarray  # η(π), the mean discounted return
    visits: np.ndarray  # [S] d(s) = Σ_t γ^t P(s_t = s): sums to 1 / (1 - γ)
    advantage: np.ndarray  # [S, A] A(s, a) = Q(s, a) - V(s)


def random_mdp(seed: int, gamma: float = 0.8) -> MDP:
    rng = np.random.default_rng(seed)
    return MDP(rng.dirichlet(np.full(4, 0.1), (4, 3)), rng.uniform(0, 1, (4, 3)).round(2), np.eye(4)[0], gamma)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def solve(mdp: MDP, policy: np.ndarray) -> Solved:
    left = np.eye(len(mdp.start)) - mdp.gamma * np.einsum("...sa,sat->...st", policy, mdp.move)
    value = np.linalg.solve(left, (policy * mdp.reward).sum(-1, keepdims=True))[..., 0]
    visits = np.linalg.solve(left.swapaxes(-1, -2), np.broadcast_to(mdp.start, value.shape)[..., None])[..., 0]
    q = mdp.reward + mdp.gamma * np.einsum("sat,...t->...sa", mdp.move, value)
    return Solved(value @ mdp.start, visits, q - value[..., None])


def best_return(mdp: MDP) -> float:
    """Value iteration."""
    value = np.zeros(len(mdp.start))
    for _ in range(1000):
        value = (mdp.reward + mdp.gamma * mdp.move @ value).max(-1)
    return mdp.start @ value


def surrogate(at: Solved, new: np.ndarray) -> np.ndarray:
    """L(π') = η(π) + Σ_s d(s) Σ_a π'(a|s) A(s, a): the new policy's actions in the old policy's states."""
    return at.eta + (at.visits[..., None] * at.advantage * new).sum((-1, -2))


def kl(log_old: np.ndarray, log_new: np.ndarray) -> np.ndarray:
    return (np.exp(log_old) * (log_old - log_new)).sum(-1)


def penalty(at: Solved, gamma: float) -> np.ndarray:
    """C = 4 ε γ / (1 - γ)², ε = max |A|."""
    return 4.0 * np.abs(at.advantage).max((-1, -2)) * gamma / (1.0 - gamma) ** 2


def minorant(at: Solved, log_old: np.ndarray, log_new: np.ndarray, c: np.ndarray | float) -> np.ndarray:
    """M(π') = L(π') - c max_s KL(π, π'). With c = C, η(π') >= M(π') for every π', and η(π) = M(π)."""
    return surrogate(at, np.exp(log_new)) - c * kl(log_old, log_new).max(-1)


def slopes(at: Solved, row: np.ndarray) -> np.ndarray:
    """``B[r, a]`` = Σ d(s) A(s, a) over the states s of row r, so that L = η + Σ π'(a|r) B[r, a]."""
    return np.eye(row.max() + 1)[row].T @ (at.visits[:, None] * at.advantage)


def maximise(log_old: np.ndarray, b: np.ndarray, c: float) -> np.ndarray:
    """The rows' log π' with the largest Σ π' B - c max KL, by search over what the largest KL may be (10 at most).

    Among the π' at a given KL from a row π, the best is proportional to π / (ν - B): near π for a large ν, greedy for
    ν -> max B. And every row may spend as much KL as any. So: tabulate KL(ν), invert the table, take the best KL.
    """

    def tilt(above: np.ndarray) -> np.ndarray:  # ν = max B + above
        return log_softmax(log_old - np.log(above[..., None] + (b.max(-1, keepdims=True) - b)))

    above = np.geomspace(1e8, 1e-20, 1500)[:, None] * (np.ptp(b, axis=-1) + 1e-30)
    tables = zip(np.log(np.maximum(kl(log_old, tilt(above)), 1e-30)).T, np.log(above).T)
    budgets = np.log(np.geomspace(1e-12, 10.0, 400))
    new = tilt(np.exp(np.stack([np.interp(budgets, *table) for table in tables], axis=-1)))
    gains = (np.exp(new) * b).sum((-1, -2)) - c * kl(log_old, new).max(-1)
    return new[gains.argmax()]


def climb(mdp: MDP, row: np.ndarray, share: float, target: float, max_iterations: int) -> list[tuple[float, ...]]:
    """From the uniform policy up M with ``share`` of C until η >= ``target``.

    A tuple per iteration: η, M of the next policy, η of it, max KL, largest change of a probability.
    """
    old, steps = log_softmax(np.zeros((row.max() + 1, 3))), []
    at = solve(mdp, np.exp(old)[row])
    while at.eta < target and len(steps) < max_iterations:
        c = share * penalty(at, mdp.gamma)
        new = maximise(old, slopes(at, row), c)
        then, change = solve(mdp, np.exp(new)[row]), np.abs(np.exp(new) - np.exp(old)).max()
        steps.append((at.eta, minorant(at, old[row], new[row], c), then.eta, kl(old, new).max(), change))
        old, at = new, then
    return steps


def main(iterations: int = 1000, seed: int = 1114) -> None:
    mdp, uniform = random_mdp(seed), log_softmax(np.zeros((2, 3)))
    corners = np.stack([np.eye(3)[list(choice)][SHARED] for choice in itertools.product(range(3), repeat=2)])
    own, shared = best_return(mdp), solve(mdp, corners).eta.max()
    at = solve(mdp, np.exp(uniform)[SHARED])
    print(f"mean return: uniform policy {at.eta:.3f}, best with own rows {own:.3f}, with shared rows {shared:.3f}")

    print("\nMaximising M with the theorem's C (shared rows)")
    print("iteration  return  M of next  next return   max KL  max change")
    steps = climb(mdp, SHARED, 1.0, 0.99 * shared, iterations)
    for i in [2**k - 1 for k in range(10) if 2**k < len(steps)] + [len(steps) - 1]:
        print("{:9} {:7.4f} {:10.4f} {:12.4f} {:8.1e} {:11.4f}".format(i, *steps[i]))

    c, gradient = penalty(at, mdp.gamma), np.exp(uniform) * slopes(at, SHARED)
    print(f"\nOne gradient step of L from the uniform policy (shared rows, C = {c:.1f})")
    print("step size  L promises  return   bound M   max KL  gradient there")
    for size in (0.1, 1.0, 3.0, 5.0, 10.0, 30.0, 100.0):
        new = log_softmax(uniform + size * gradient)
        promise, m = (minorant(at, uniform[SHARED], new[SHARED], weight) for weight in (0.0, c))
        then, spent = solve(mdp, np.exp(new)[SHARED]), kl(uniform, new).max()
        left = np.linalg.norm(np.exp(new) * slopes(then, SHARED))
        print(f"{size:9.1f} {promise:11.3f} {then.eta:7.3f} {m:9.3f} {spent:8.4f} {left:15.6f}")

    print("\nIterations to 99 % of the best return\n   rows  penalty  iterations  least gain  last return")
    for name, row, best in (("own", OWN, own), ("shared", SHARED, shared)):
        for share in (1.0, 0.1, 0.02, 0.01, 0.0):
            steps = climb(mdp, row, share, 0.99 * best, iterations)
            last, least = steps[-1][2], min(step[2] - step[0] for step in steps)
            count = f"{len(steps)}" if last >= 0.99 * best else f"> {iterations}"
            print(f"{name:>7}  {share:4.2f} C  {count:>10}  {least:10.4f}  {last:11.3f}")


if __name__ == "__main__":
    main()
