"""Rejax's PPO, with no evaluation in between: ``run_rejax.py SETTINGS``, in the peer's Python.

Its learning rate is a constant: it has no annealing of its own. It clips the gradient by element, not by norm.
"""

import time

import jax
from driver import finish, settings, whole
from rejax import PPO
from rejax.evaluate import evaluate


def main() -> None:
    s = settings()
    rows = s["num_envs"] * s["num_steps"]
    steps = s["steps"] // rows * rows
    algorithm = PPO.create(
        env=s["env"].removeprefix("gymnax:"),
        num_envs=s["num_envs"],
        num_steps=s["num_steps"],
        num_epochs=s["epochs"],
        num_minibatches=rows // s["minibatch_size"],
        learning_rate=s["learning_rate"],
        gamma=s["gamma"],
        gae_lambda=s["lam"],
        clip_eps=s["epsilon"],
        ent_coef=s["entropy_coef"],
        max_grad_norm=0.5,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": s["hidden"]},
    ).replace(eval_callback=lambda algorithm, state, key: ())
    keys = jax.random.split(jax.random.PRNGKey(s["seed"]), s.get("seeds", 1))
    began = time.perf_counter()
    train = jax.jit(jax.vmap(algorithm.train) if len(keys) > 1 else algorithm.train)
    program = train.lower(keys if len(keys) > 1 else keys[0]).compile()
    compiled = time.perf_counter()
    state, _ = jax.block_until_ready(program(keys if len(keys) > 1 else keys[0]))
    values = whole(steps * len(keys), time.perf_counter() - compiled, compiled - began)
    if len(keys) == 1:
        _, returns = evaluate(algorithm.make_act(state), keys[0], algorithm.env, algorithm.env_params, 100)
        values["return"] = float(returns.mean())
    finish(values, "rejax", "jax", "flax", "gymnax")


if __name__ == "__main__":
    main()
