"""The command line: what each command of ``proximax`` does."""

import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from proximax.cli.commands import (
    Bench,
    Compare,
    Doctor,
    Eval,
    Export,
    Plot,
    Presets,
    Report,
    Train,
    Video,
    Watch,
    config_of,
    parse,
)
from proximax.cli.demo import Demo, run_demo
from proximax.cli.device import use_device
from proximax.cli.existing_runs import run_eval, run_export, run_plot, run_report, run_video, run_watch
from proximax.cli.launching import is_launcher, launch
from proximax.cli.old_flags import current_arguments
from proximax.cli.output import (
    bench_table,
    bottleneck_advice,
    doctor_report,
    report,
    run_argument,
    show_presets,
)
from proximax.cli.settings import overrides
from proximax.cli.targets import references_named, split_targets
from proximax.cli.tuning import Tune, run_tune
from proximax.config import VALUE_ALIASES
from proximax.doctor import diagnose_run
from proximax.envs import EnvId
from proximax.errors import EnvError, Interrupted, ProximaxError, UsageError, describe
from proximax.evaluation import check_import
from proximax.loggers import Log, log_problem
from proximax.ppo import ALGORITHMS
from proximax.profiling import bench
from proximax.reports import (
    check_formats,
    execute_comparison,
    files_of,
    plan_comparison,
    require_matplotlib,
    table,
)
from proximax.runs import Resume, run_name_of
from proximax.runtime import (
    lenient_output,
    printable,
    proximax_version,
    shorten,
    show_messages,
    write_stderr,
)
from proximax.training import run, was_saved


@lenient_output()
@show_messages(always=True)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(proximax_version())
        return 0
    command, code = None, 0
    try:
        command = parse(current_arguments(arguments))
        try:
            code = execute(command, arguments)
        except SystemExit as error:  # no code of proximax: an environment must not end a command with exit code 0
            raise EnvError(
                f"something that the environment uses ended the program: sys.exit({error.code!r})"
            ) from error
    except ProximaxError as error:
        kind = "" if isinstance(error, Interrupted) else f"error[E{error.code}]: "
        write_stderr(f"{debug_trace(command)}proximax: {kind}{error}")
        return error.code
    except KeyboardInterrupt:
        write_stderr("proximax: interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output went away: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # of what is printed, or of a place that nobody looked at before
        place = f" ({shorten(Path(error.filename))})" if isinstance(error.filename, str) else ""
        write_stderr(f"{debug_trace(command)}proximax: error[E5]: {error.strerror or describe(error)}{place}")
        return 5
    except Exception as error:
        trace = debug_trace(command)
        hint = "" if trace else " The same command with --debug shows where."
        write_stderr(f"{trace}proximax: error[E1]: unexpected {describe(error)}.{hint}")
        return 1
    return code


def debug_trace(command: object) -> str:
    """The traceback of the error being handled, with ``--debug``; otherwise nothing."""
    return traceback.format_exc() if getattr(command, "debug", False) else ""


def execute(command: object, arguments: Sequence[str]) -> int:
    """Run one command, which ``arguments`` say; returns the exit code."""
    match command:
        case Train():
            return run_train(command, arguments)
        case Bench():
            run_bench(command)
        case Compare():
            run_compare(command)
        case Demo():
            run_demo(command)
        case Tune():
            run_tune(command)
        case Eval():
            run_eval(command)
        case Video():
            run_video(command)
        case Export():
            run_export(command)
        case Plot():
            run_plot(command)
        case Report():
            run_report(command)
        case Doctor():
            print(printable(doctor_report(diagnose_run(command.run))))
        case Watch():
            run_watch(command)
        case Presets():
            show_presets()
        case _:
            raise AssertionError(f"no function runs {command}")
    return 0


def run_train(command: Train, arguments: Sequence[str]) -> int:
    """``proximax train``."""
    launches = is_launcher(command)
    if not launches:
        use_device(command.device)
    if not command.env and not command.resumed_run:
        raise UsageError("train: name an environment, as in proximax train CartPole-v1, or a run with --resume RUN")
    if command.resume == "auto" and command.out is None:
        raise UsageError("--resume auto: name the run directory with --out")
    config = config_of(command)
    if command.resumed_run and not command.env and not command.allow_import:  # an ENV given is that of the run
        check_import(config)
    out = command.out or Path(command.resumed_run or default_directory(config.env, config.algo))
    if launches:
        return launch(command, arguments, config, out)
    resume: Resume = "auto" if command.resume == "auto" else command.resume is not None
    try:
        result = run(
            config,
            out=out,
            log=loggers_named(command.log),
            quiet=command.quiet,
            verbose=command.verbose,
            profile=command.profile,
            watch=command.watch,
            resume=resume,
        )
    except Interrupted:
        write_stderr(f"saved in {out}\nnext: proximax train --resume {run_argument(config, out)}")
        raise
    except Exception as error:
        if was_saved(error):
            text = f"saved in {out}, the traceback in {out / 'error.log'}"
            write_stderr(printable(f"{text}\nnext: proximax train --resume {run_argument(config, out)}"))
        raise
    if result.directory:  # of several processes the first one's
        print(printable(report(result, out)))
    return 0


def loggers_named(text: str | None) -> Log:
    """The loggers of ``--log``."""
    if text is None or text.strip() == "none":
        return None if text is None else ()
    names: Any = [name.strip() for name in text.split(",")]
    if problem := log_problem(names):
        raise UsageError(f"--log {text}: {problem}")
    return names


def run_bench(command: Bench) -> None:
    """``proximax bench``."""
    use_device(command.device)
    if not 0 < command.seconds < float("inf"):
        raise UsageError(f"--seconds {command.seconds}: must be positive")
    Console().print(bench_table(measured := bench(config_of(command), seconds=command.seconds)))
    print(bottleneck_advice(measured))


def run_compare(command: Compare) -> None:
    """``proximax compare``."""
    use_device(command.device)
    algos = None if command.algos is None else algorithms_named(command.algos)
    if not command.targets:
        raise UsageError("compare: name environments to train on, or runs, as in proximax compare CartPole-v1")
    envs, runs = split_targets(command.targets)
    formats = check_formats([name.strip() for name in command.format.split(",")])
    references = references_named(command.references)
    settings = overrides(command.settings)
    require_matplotlib()
    plan = plan_comparison(envs or None, algos, runs, settings, command.out, references)
    out = command.out or Path("runs", plan.directory.name)
    try:
        comparison = execute_comparison(plan, command.quiet, formats)
    except Interrupted:
        write_stderr(f"saved in {out}\nnext: the same command continues, without training finished runs again")
        raise
    print(table(comparison))
    print(f"results in {out}: {', '.join(files_of(comparison, formats))}")


def algorithms_named(text: str) -> list[str]:
    """The algorithms of ``--algos``."""
    algos = [name.strip() for name in text.split(",") if name.strip()]
    algos = [VALUE_ALIASES["algo"].get(name, name) for name in algos]
    unknown = [name for name in algos if name not in ALGORITHMS]
    if unknown or len(set(algos)) < len(algos):
        problem = f"no algorithm {unknown[0]!r}" if unknown else "an algorithm is named twice"
        raise UsageError(f"--algos {text}: {problem}. Algorithms: {', '.join(ALGORITHMS)}")
    return algos


def default_directory(env: str, algo: str) -> Path:
    """``runs/ENV-ALGO-DATE-TIME``, with only the characters every file system takes."""
    stem = Path("runs") / f"{run_name_of(EnvId.parse(env).display)}-{algo}-{time.strftime('%Y%m%d-%H%M%S')}"
    taken = (stem.with_name(f"{stem.name}-{i}") for i in range(1, 1000))
    return stem if not stem.exists() else next(path for path in taken if not path.exists())
