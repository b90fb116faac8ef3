"""HalfCheetah-v5, 8 environments x 256 steps: steps per second, against Stable-Baselines3, SBX and CleanRL.

python benchmarks/speed/half_cheetah.py [--cleanrl FOLDER]

Also what proximax's own time goes to: a rollout and its update, against the environments alone and the update alone.
CleanRL's script normalises observations and rewards and needs an older Gymnasium, which has v4 of the environment.
"""

from measure import Contestant, arguments, compare

SETTINGS = {
    "env": "HalfCheetah-v5",
    "num_envs": 8,
    "num_steps": 256,
    "minibatch_size": 64,
    "epochs": 10,
    "gamma": 0.99,
    "lam": 0.95,
    "learning_rate": 3e-4,
    "epsilon": 0.2,
    "anneal": "none",
    "entropy_coef": 0.0,
    "hidden": [64, 64],
}


def main() -> None:
    options = arguments(__doc__, steps=122_880)
    plain = SETTINGS | {"steps": options.steps}
    ours = plain | {"eval_episodes": 1}
    pool = {"env": "envpool:HalfCheetah-v5"}
    contestants = [
        Contestant("proximax, Gymnasium", "run_proximax.py", ours),
        Contestant("proximax, EnvPool", "run_proximax.py", ours | pool),
        Contestant("SB3, DummyVecEnv", "run_sb3.py", plain, "sb3"),
        Contestant("SB3, DummyVecEnv, 1 thread", "run_sb3.py", plain | {"threads": 1}, "sb3"),
        Contestant("SB3, SubprocVecEnv", "run_sb3.py", plain | {"vector": "subproc"}, "sb3"),
        Contestant("SB3, SubprocVecEnv, 1 thread", "run_sb3.py", plain | {"vector": "subproc", "threads": 1}, "sb3"),
        Contestant("SBX, DummyVecEnv", "run_sbx.py", plain, "sbx"),
        Contestant("SBX, SubprocVecEnv", "run_sbx.py", plain | {"vector": "subproc"}, "sbx"),
        Contestant("parts, Gymnasium", "run_parts.py", ours),
        Contestant("parts, EnvPool", "run_parts.py", ours | pool),
    ]
    if options.cleanrl:
        script = {"env": "HalfCheetah-v4", "folder": str(options.cleanrl.absolute())}
        settings = plain | script | {"script": "ppo_continuous_action.py"}
        contestants.append(Contestant("CleanRL", "run_cleanrl.py", settings, "cleanrl"))
        contestants.append(Contestant("CleanRL, 1 thread", "run_cleanrl.py", settings | {"threads": 1}, "cleanrl"))
    compare("half_cheetah", contestants, options)


if __name__ == "__main__":
    main()
