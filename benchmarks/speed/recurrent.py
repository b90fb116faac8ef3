"""CartPole-v1 without velocities, 8 environments x 128 steps: recurrent policies against sb3-contrib's RecurrentPPO.

python benchmarks/speed/recurrent.py

Steps per second, and the return of the latest episodes after ``SCORED`` steps; also networks without memory of both,
for what memory costs. LSTMs of 64 units, one for actor and one for critic; RecurrentPPO has its hidden layer after the
LSTM, proximax before it, so that its LSTM has 64 inputs instead of 2. About 12 minutes on 2 quiet cores.
"""

from measure import Contestant, arguments, compare

SETTINGS = {
    "env": "CartPole-v1",
    "num_envs": 8,
    "num_steps": 128,
    "minibatch_size": 256,
    "epochs": 10,
    "gamma": 0.99,
    "lam": 0.95,
    "learning_rate": 1e-3,
    "epsilon": 0.2,
    "anneal": "none",
    "entropy_coef": 0.0,
    "hidden": [64],
}
NETWORKS = ("mlp", "gru", "lstm", "mingru")
SCORED = 40_960  # steps, after which proximax's LSTM has solved it


def main() -> None:
    options = arguments(__doc__, steps=5 * 1024, repeats=2)
    plain, one_thread = SETTINGS | {"hide_velocities": True}, {"threads": 1}
    ours, theirs = plain | {"eval_episodes": 1}, plain | {"steps": options.steps}
    ours |= {"steps": 6 * options.steps}  # a second or two
    lstm = {"lstm": 64}
    contestants = [
        *(Contestant(f"proximax, {name}", "run_proximax.py", ours | {"network": name}) for name in NETWORKS),
        Contestant("RecurrentPPO", "run_recurrent_ppo.py", theirs | lstm, "sb3-contrib"),
        Contestant("RecurrentPPO, 1 thread", "run_recurrent_ppo.py", theirs | lstm | one_thread, "sb3-contrib"),
        Contestant("SB3, mlp, 1 thread", "run_recurrent_ppo.py", theirs | one_thread, "sb3-contrib"),
        Contestant("proximax, lstm, scored", "run_proximax.py", ours | {"network": "lstm", "steps": SCORED}, repeats=1),
        Contestant(
            "RecurrentPPO, 1 thread, scored",
            "run_recurrent_ppo.py",
            theirs | lstm | one_thread | {"steps": SCORED},
            "sb3-contrib",
            repeats=1,
        ),
    ]
    compare("recurrent", contestants, options)


if __name__ == "__main__":
    main()
