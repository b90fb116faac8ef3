"""A run's policy to a file that runs without JAX."""

import json
from pathlib import Path
from typing import Any

from proximax.config import RunConfig, refuse, type_problem
from proximax.exporting import CHECKED, Format, Output, export_agent
from proximax.networks import AnyNetwork
from proximax.policy import Agent
from proximax.runs.checkpoint import find_checkpoint
from proximax.runs.loading import is_checkpoint, load_agent, load_file, policy_file, run_problem
from proximax.runtime import own_settings, sha256, show_messages


@show_messages()
@own_settings()
def export(
    run: str | Path | Agent,
    path: str | Path,
    *,
    seed: int | None = None,
    checkpoint: str = "last",
    output: Output = "action",
    format: Format | None = None,
    network: AnyNetwork | None = None,
    check: int = CHECKED,
) -> Path:
    """Write a policy to one file that runs without JAX: ONNX (``.onnx``), or NumPy arrays (``.npz``).

    ``run``: a run directory, an ``Agent``, or a file that ``Agent.save`` wrote.
    ``path``: the file; an existing one is replaced.
    ``seed``, ``checkpoint``, ``network``: as in ``load``.
    ``output``: "action", or "parameters" for those of the distribution too.
    ``format``: "onnx" or "npz"; by default the ending of ``path`` says it.
    ``check``: on how many random observations the file is compared with ``Agent.act``.

    An ONNX file holds the observation normaliser, the network and what makes its outputs the environment's actions. Its
    inputs and outputs are ``obs`` and ``action``; ``action_mask`` for a policy with masks; ``first``, ``carry_in.0``
    and ``carry_out.0`` for one with memory; each with a batch axis of any size. ``output="parameters"`` adds those of
    the distribution: ``logits``, ``mean`` and ``log_std``, ``alpha`` and ``beta``. An .npz holds an MLP or a recurrent
    network on top of one, of one observation and one action.

    Before it is written it is compared with ``Agent.act`` on ``check`` random observations, to 1e-5, by onnxruntime, or
    without it by the package onnx: ``NumericalError`` where they differ, and no file. Needs the ``export`` extra, but
    for .npz. Raises ``UsageError`` for what cannot be exported.
    """
    refuse(
        [
            run_problem(run),
            type_problem("checkpoint", checkpoint, str, "last, best or a name"),
        ]
    )
    if isinstance(run, Agent):
        return export_agent(run, path, format=format, output=output, check=check)
    if (file := policy_file(run)) is not None:
        return export_agent(load_file(file, network), path, format=format, output=output, check=check)
    if is_checkpoint(Path(run)):
        run, checkpoint = Path(run).parent.parent, Path(run).name
    agent, config, seed = load_agent(run, seed, network, checkpoint)
    (found, manifest), _ = find_checkpoint(Path(run), checkpoint)
    about = about_run(config, seed, found.name, manifest["steps"])
    return export_agent(agent, path, format=format, output=output, about=about, check=check)


def about_run(config: RunConfig, seed: int, checkpoint: str, steps: int) -> dict[str, Any]:
    """What a file says of the run that its policy comes from."""
    values = config.to_json()
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return {
        "env": config.env,
        "seed": seed,
        "steps": steps,
        "checkpoint": checkpoint,
        "config": json.loads(text),
        "config_sha256": sha256(text.encode()),
    }
