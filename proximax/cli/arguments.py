"""The types of the commands' arguments, with their help."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from proximax.cli.settings import ENV_HELP, KWARGS_HELP

Env = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV", help=ENV_HELP)]
RunDirectory = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Run directory.")]
RunOrPolicy = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(
        metavar="RUN",
        help="Run directory; an exported policy (.onnx, .npz); zoo:CartPole-v1, a policy that comes with proximax; or, "
        "with --env, a file that agent.save wrote.",
    ),
]
OtherEnv = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="ENV",
        help="Instead of the run's environment. Its constructor's arguments, over the run's: --env-kwargs.NAME VALUE",
    ),
]
Device = Annotated[Literal["auto", "cpu", "gpu"], tyro.conf.arg(help="Where to compute.")]
Quiet = Annotated[bool, tyro.conf.arg(help="Show no progress.")]
Verbose = Annotated[bool, tyro.conf.arg(help="Show also a table of the metrics every few seconds.")]
Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]
AllowImport = Annotated[
    bool, tyro.conf.arg(help="Let the run's config.json name a package to import (package:Env-v0).")
]
Checkpoint = Annotated[
    str,
    tyro.conf.arg(
        help="last, best (by the evaluations of --eval-every and --stop-at-return), or a name in RUN/checkpoints."
    ),
]
Stochastic = Annotated[
    bool,
    tyro.conf.arg(help="Sample actions. Without --stochastic and --deterministic: as the run's own evaluations do."),
]
RUNS_HELP = "Run directories, finished or not, or folders with runs below them; LABEL=RUN gives it a label."
WATCHED_HELP = "Run directories, or folders with runs below them, which need not exist yet. Default: runs"
TARGETS_HELP = (
    "Environments to train on; and runs that exist: run directories, or folders with runs below them. LABEL=RUN gives "
    f"a run a label. Arguments of the environments: {KWARGS_HELP}"
)
References = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="ENV=LOW,HIGH ...",
        help="For each environment the scores that are normalised to 0 and 1, as CartPole-v1=20,500. Default: the "
        "lowest and the highest of all that are compared.",
    ),
]
Deterministic = Annotated[bool, tyro.conf.arg(help="Take the most likely action (the mode).")]
