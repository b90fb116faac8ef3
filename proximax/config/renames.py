"""Other names of settings: of version 0.1, accepted for one release; permanent aliases; those of other libraries."""

import warnings
from typing import Any

from proximax.errors import UsageError

RENAMED_SETTINGS = {
    "turns": "env_groups",
    "eval_sample": "eval_stochastic",
    "checkpoints_kept": "keep_checkpoints",
    "stop_at": "stop_at_return",
    "backtracks": "line_search_steps",
    "delta": "max_kl",
    "credit": "advantage",
    "standardise_environments": "standardise_across_envs",
}
RENAMED_VALUES: dict[str, dict[str, str]] = {
    "network": {"blocks": "patch-cnn", "lesson": "pong-small"},
    "preset": {"pong-lesson": "pong-reinforce"},
}
OLD_CUSTOM, NEW_CUSTOM = "own:", "custom:"  # before the name of an algorithm that is not built in
# Names that other libraries use for the same setting: accepted permanently.
ALIASES = {"gae_lambda": "lam", "clip_range": "epsilon"}
VALUE_ALIASES = {"algo": {"ppo": "clip"}}
# What Stable-Baselines3, CleanRL, RLlib and Brax call a setting, not always with the same meaning: a user who writes
# one is told ours.
ELSEWHERE = {
    **dict.fromkeys(("total_timesteps", "total_steps", "timesteps", "num_timesteps", "max_steps"), "steps"),
    **dict.fromkeys(("n_steps", "rollout_length", "unroll_length", "horizon"), "num_steps"),
    **dict.fromkeys(("n_envs", "num_workers", "num_env"), "num_envs"),
    **dict.fromkeys(("batch_size", "num_minibatches", "n_minibatch", "nminibatches"), "minibatch_size"),
    **dict.fromkeys(("n_epochs", "update_epochs", "num_epochs", "noptepochs", "num_sgd_iter"), "epochs"),
    **dict.fromkeys(("lr", "policy_lr", "step_size"), "learning_rate"),
    **dict.fromkeys(("ent_coef", "entropy_cost", "entropy_coeff", "entropy_weight"), "entropy_coef"),
    **dict.fromkeys(("vf_coef", "vf_loss_coeff", "value_loss_coef"), "value_coef"),
    **dict.fromkeys(("clip_coef", "clip_eps", "clip_ratio", "clip_param", "cliprange", "clip_epsilon"), "epsilon"),
    **dict.fromkeys(("clip_range_vf", "vf_clip_param"), "value_epsilon"),
    **dict.fromkeys(("lambda_", "lmbda", "gae_lam"), "lam"),
    **dict.fromkeys(("discount", "discounting", "discount_factor"), "gamma"),
    **dict.fromkeys(("normalize_advantage", "norm_adv", "standardize_advantage"), "standardise_advantage"),
    **dict.fromkeys(("normalize_obs", "norm_obs", "normalize_observations", "standardise_obs"), "normalise_obs"),
    **dict.fromkeys(("norm_reward", "normalize_reward", "reward_scaling", "normalise_reward"), "scale_reward"),
    **dict.fromkeys(("anneal_lr", "lr_schedule"), "anneal"),
    **dict.fromkeys(("net_arch", "policy_kwargs", "hidden_sizes", "hidden_layer_sizes"), "hidden"),
    **dict.fromkeys(("grad_clip", "max_norm", "gradient_clip"), "max_grad_norm"),
    **dict.fromkeys(("kl_target", "desired_kl"), "target_kl"),
    **dict.fromkeys(("n_eval_episodes", "num_eval_episodes"), "eval_episodes"),
    **dict.fromkeys(("eval_freq", "eval_frequency", "evaluation_interval"), "eval_every"),
    **dict.fromkeys(("save_freq", "checkpoint_freq"), "checkpoint_every"),
    **dict.fromkeys(("algorithm",), "algo"),
    **dict.fromkeys(("num_seeds", "n_seeds"), "seeds"),
    **dict.fromkeys(("random_seed",), "seed"),
    **dict.fromkeys(("env_args", "env_config", "make_env_kwargs", "env_params"), "env_kwargs"),
    **dict.fromkeys(("capture_video", "video_freq"), "video_every"),
}
# What is different, for names of ELSEWHERE whose values do not mean the same here.
DIFFERENCES = {
    **dict.fromkeys(
        ("num_minibatches", "n_minibatch", "nminibatches"),
        "the size of one, not how many: num_steps x num_envs / {name}",
    ),
    **dict.fromkeys(("clip_range_vf", "vf_clip_param"), "in units of scaled returns"),
    **dict.fromkeys(
        ("eval_freq", "eval_frequency", "evaluation_interval"), "in environment steps of a seed, not calls"
    ),
    **dict.fromkeys(("save_freq", "checkpoint_freq"), 'seconds ("60s"), or environment steps of a seed ("100000")'),
    **dict.fromkeys(("capture_video", "video_freq"), "in environment steps of a seed"),
    **dict.fromkeys(("kl_target", "desired_kl"), "kl_control says how it is enforced"),
    **dict.fromkeys(
        ("anneal_lr", "lr_schedule"), "the settings that fall: learning_rate, epsilon, entropy_coef, or none"
    ),
    **dict.fromkeys(("net_arch", "policy_kwargs", "hidden_sizes", "hidden_layer_sizes"), "units of each layer: 64 64"),
    "vf_coef": "of a loss with the factor 1/2, as in CleanRL: twice the vf_coef of Stable-Baselines3",
    "reward_scaling": "True or False: rewards are divided by a running standard deviation, not by a constant",
}
_ENV = "the environment is the first argument: train(ENV, ...), proximax train ENV"
_DIRECTORY = "the run directory is out=... (--out)"
_BEST = "eval_every=STEPS keeps the best checkpoint, in the run directory out=... (--out)"
_DEVICE = "--device cpu or gpu; from Python the variable JAX_PLATFORMS (cpu, cuda), set before Python starts"
_SDE = "state-dependent exploration does not exist here; state_dependent_std is a standard deviation from the network"
_VEC_ENV = "num_envs (--num-envs) environments are created, and step in this process or in workers as suits them"
_WEIGHTS_AND_BIASES = 'log=["wandb"] (--log wandb) sends metrics there; the project is the variable WANDB_PROJECT'
# Names of other libraries without a setting of the same kind: what does the work here.
ANSWERS = {
    **dict.fromkeys(("env_id", "env_name", "environment", "gym_id", "task"), _ENV),
    **dict.fromkeys(("log_dir", "logdir", "log_path", "save_path", "exp_name", "run_name", "monitor_dir"), _DIRECTORY),
    "tensorboard_log": "curves are written into tensorboard in the run directory, out=... (--out), where TensorBoard's "
    "writer is installed: pip install proximax[tensorboard]",
    **dict.fromkeys(("best_model_save_path", "save_best_model", "save_model"), _BEST),
    "callback": "callbacks=[...] of train(): functions or proximax.TrainingCallback objects",
    "policy": "network=... (--network): by default chosen by the observations, an MLP or a convolutional network",
    **dict.fromkeys(("device", "cuda", "use_gpu"), _DEVICE),
    **dict.fromkeys(
        ("torch_deterministic", "cudnn_deterministic"), "runs with the same seed on one machine are the same"
    ),
    **dict.fromkeys(("deterministic", "deterministic_eval"), "evaluations are, unless eval_stochastic is True"),
    **dict.fromkeys(("use_sde", "sde_sample_freq"), _SDE),
    **dict.fromkeys(("clip_obs", "clip_observations"), "normalise_obs clips what it normalises to ±10"),
    **dict.fromkeys(("vec_env_cls", "vec_env_kwargs", "async_envs"), _VEC_ENV),
    "ortho_init": "the weights of built-in networks are orthogonal anyway; for others pass network=...",
    **dict.fromkeys(("track", "wandb_project_name", "wandb_entity", "wandb_project"), _WEIGHTS_AND_BIASES),
    **dict.fromkeys(("progress_bar", "log_interval"), "progress is shown unless quiet is True (--quiet)"),
    "reset_num_timesteps": "resume=True (--resume RUN) continues a run; init_from starts a new one from its policies",
    "gae": "advantage: gae, to-go or total",
}


def difference(name: str) -> str:
    """How the setting that ``ELSEWHERE`` has for ``name`` differs, "" where it means the same."""
    return DIFFERENCES.get(name, "").format(name=name)


def current_names(values: dict[str, Any], warn: bool = True) -> dict[str, Any]:
    """``values`` under the current names, with a ``DeprecationWarning`` for each old one if ``warn``.

    Raises ``UsageError`` where a setting is given under two names.
    """
    current: dict[str, Any] = {}
    for name, value in values.items():
        new_name = RENAMED_SETTINGS.get(name, ALIASES.get(name, name))
        if new_name in current or (new_name != name and new_name in values):
            raise UsageError(f"{name} is another name of {new_name}: give it once")
        new_value = current_value(new_name, value)
        if warn and name in RENAMED_SETTINGS:
            warnings.warn(f"the setting {name} is now {new_name}", DeprecationWarning, stacklevel=4)
        if warn and new_value is not value and value not in VALUE_ALIASES.get(new_name, {}):
            warnings.warn(f"{new_name} = {value!r} is now {new_value!r}", DeprecationWarning, stacklevel=4)
        current[new_name] = new_value
    return current


def current_value(name: str, value: object) -> Any:
    """A setting's value under its current name."""
    if not isinstance(value, str):
        return value
    if name == "algo" and value.startswith(OLD_CUSTOM):
        return NEW_CUSTOM + value.removeprefix(OLD_CUSTOM)
    return (RENAMED_VALUES.get(name, {}) | VALUE_ALIASES.get(name, {})).get(value, value)
