"""Pages and parts of pages that are made from the code; ``docs/check.py --write`` writes them."""

import ast
import contextlib
import dataclasses
import inspect
import io
import itertools
import os
import re
import sys
from functools import cache
from operator import itemgetter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import api_pages  # noqa: E402

import proximax  # noqa: E402
from proximax._renamed import ELSEWHERE as NAMES_ELSEWHERE  # noqa: E402
from proximax.cli import main as proximax_command  # noqa: E402
from proximax.config import (  # noqa: E402
    ALIASES,
    ANSWERS,
    ELSEWHERE,
    NUMBERS,
    AtariConfig,
    PPOConfig,
    RunConfig,
    difference,
)
from proximax.doctor import CHECKS, SEVERITIES  # noqa: E402
from proximax.loggers import group_of  # noqa: E402
from proximax.runs import METRICS  # noqa: E402
from tests.support.imports import MODULES, PACKAGE, ROOMS, arrows, room  # noqa: E402

DOCS = ROOT / "docs"
COMMANDS = (
    "demo",
    "train",
    "eval",
    "video",
    "export",
    "compare",
    "tune",
    "plot",
    "report",
    "doctor",
    "watch",
    "bench",
    "presets",
)
MADE = "<!-- Made by docs/check.py --write from {}. -->"
METRICS_HEAD = f"""{MADE.format("proximax.runs.metrics.METRICS")}

# Metrics

Each update writes one metrics row per seed: to `metrics.jsonl`, to TensorBoard if it is installed, and to callbacks.
r is the ratio π(a|s) / π_old(a|s) and A the advantage, as in [ppo-clip.md](../algorithms/ppo-clip.md). Means are over
valid transitions: steps that only reset an environment are left out.

In TensorBoard the tag is `GROUP/NAME`, against environment steps; `update`, `seed` and `steps` are not curves, and
`ratio_histogram` is a histogram. Beside them are `time/steps_per_s` (of all seeds together, over the latest seconds),
`eval/return_mean` (evaluations while training), `eval/final_return_mean`, and the settings: as text under `config`, and
on the HPARAMS page.

| name | group | meaning |
|---|---|---|
"""
DOCTOR_HEAD = f"""{MADE.format("proximax.doctor.CHECKS")}

# Doctor

```console
$ proximax doctor runs/NAME
```

reads `config.json` and `metrics.jsonl` of a run, finished or not, and reports what is wrong with it: the evidence in
numbers, the cause, and the flag to change. `proximax train` does the same while it trains, on stderr: the most severe
finding in one line under the progress bar, and at the end the last findings; without a terminal each finding once. The
exit code is 0 also with findings, 4 for a directory that is not a run.

The thresholds are in [checks.py](../../proximax/doctor/checks.py), each with its reason and the values that healthy
runs reach. A finding is a suspicion with a number, not a proof; a run without one may still learn too little. The
meaning of each metric: [metrics.md](../reference/metrics.md).
"""
DATA = ("steps", "learning_rate", "beta", *NUMBERS)
CONFIG_HEAD = f"""{MADE.format("the records of proximax.config")}

# Settings

A run is one `RunConfig`, saved as `config.json`. Each setting has a flag of the same name with hyphens (`num_envs`:
`--num-envs`; `ppo.num_steps`: `--ppo.num-steps`) and is a keyword of `proximax.train(env, ...)`, those of `PPOConfig`
and `AtariConfig` too. The defaults here are the plain ones; a preset (`proximax presets`) replaces some of them.

Numbers that are not sizes are data of the compiled program: with other values it is not compiled again. They are
{", ".join(f"`{name}`" for name in DATA)}.
Whether one is None is part of the program, as are all other settings.
"""
NAMES_HEAD = """
## Names of other libraries

What Stable-Baselines3, CleanRL, RLlib and Brax call a setting or an object, and what it is here. A setting or flag of
theirs is refused with this answer, but for those above that are also accepted.

| elsewhere | here | difference |
|---|---|---|
"""
METHODS = """| `model.learn(n)` | `train(env, steps=n)` | returns a `Result` |
| `model.predict(obs)` | `agent.act(obs)` | `agent = result.agents[0]`, or `proximax.load(run)`; the action alone |
| `model.save(path)`, `PPO.load(path)` | `agent.save(path)`, `proximax.load(path)` | |
"""
CLI_HEAD = f"""{MADE.format("the commands' --help")}

# Commands

`proximax COMMAND --help` shows the same, with the defaults of the environment's preset. All settings that
`--ppo.` and `--atari.` flags change: [config.md](config.md). Exit codes: [exit-codes.md](exit-codes.md).
"""
API_HEAD = f"""{MADE.format("the docstrings of proximax.__all__")}

# Python API

Everything that `import proximax` offers, in the order in which it is usually needed. `help(proximax.NAME)` shows the
same. Types that have no entry of their own: [below](#types). Errors: [exit-codes.md](exit-codes.md).

"""
MATHS_HEAD = f"""{MADE.format("the docstrings of proximax.maths")}

# proximax.maths

The equations of the papers as pure functions: `jit`, `vmap` and `grad` work on all of them. T time steps, N
environments, B samples; `*N` is any number of axes. The tests call them with these shapes checked
(`make test`), and against float64 loops in NumPy.

"""
API_GROUPS = {
    "Train, evaluate, deploy": "train run Result evaluate Evaluation load Agent export video Video",
    "Look at runs, search settings": "watch Watcher plot report compare tune TuneResult",
    "Callbacks, logs, rewards": "TrainingCallback Training Schedule Logger RewardHook",
    "Environments": "make_env JaxEnv HostEnv",
    "Networks and policies": "mlp Network from_linen from_nnx from_equinox make_policy Policy",
    "Algorithms, and loops of your own": "Algorithm ObjectiveInputs ScheduledValues Transition make_learner "
    "make_host_learner seed_key stack_seeds",
    "Errors": "ProximaxError",
}
ON_OTHER_PAGES = {  # name -> what it is
    "RunConfig": "A whole run: [settings](config.md#runconfig).",
    "PPOConfig": "How the algorithms learn: [settings](config.md#ppoconfig).",
    "AtariConfig": "Preprocessing of Atari games: [settings](config.md#atariconfig).",
    "ALGORITHMS": "A dict of the built-in algorithms: [overview](../algorithms/overview.md).",
    "maths": "The equations: [maths.md](maths.md).",
}
TYPES = {
    "EnvLike": "an environment: an id, a function or class that makes one, a `VectorEnv`, a `JaxEnv`, a `HostEnv`",
    "AlgorithmName": "`reinforce`, `a2c`, `npg`, `trpo`, `surrogate`, `penalty`, `clip`, `spo`",
    "NetworkName": "a built-in network: [networks](../guides/networks.md#images), [memory](../guides/memory.md)",
    "AnyNetwork": "a `Network`, or a `RecurrentNetwork` of `proximax.networks`",
    "Callback": "a function of the rows of an update; a true result ends training",
    "Rows": "a list of dicts, one per seed: the [metrics](metrics.md) of an update",
    "Log": "a list of names of loggers or of functions that make a `Logger`",
    "Summary": "`mean`, `iqm` and `ci95` (a pair, or None) over seeds",
    "Params, PyTree": "nested dicts, lists and tuples of arrays",
    "Key": "a random key of JAX",
}


def generated_pages() -> dict[Path, str]:
    """Path -> text of all generated pages."""
    architecture = DOCS / "development" / "architecture.md"
    text = architecture.read_text()
    for part, content in (("packages", packages_table()), ("imports", import_diagram())):
        begin, end = f"<!-- {part}: made by docs/check.py --write -->\n", "<!-- end -->"
        text = re.sub(f"{re.escape(begin)}.*?{end}", lambda m, new=begin + content + end: new, text, flags=re.DOTALL)
    return {
        DOCS / "reference" / "metrics.md": METRICS_HEAD + "".join(metric_rows()),
        DOCS / "reference" / "config.md": config_page(),
        DOCS / "reference" / "cli.md": cli_page(),
        DOCS / "reference" / "api.md": api_page(),
        DOCS / "reference" / "maths.md": api_pages.maths_page(proximax.maths, MATHS_HEAD),
        DOCS / "guides" / "doctor.md": doctor_page(),
        architecture: text,
        DOCS / "index.md": with_evidence((DOCS / "index.md").read_text()),
    }


def with_evidence(page: str) -> str:
    """The first page, with the number of known bugs that its evidence has."""
    caught, known = re.findall(r"(\d+) of (\d+) bugs are killed", (ROOT / "tests/mutants/results.md").read_text())[0]
    assert caught == known, "docs/index.md says that all known bugs are caught"
    return re.sub(r"\d+ known bugs", f"{known} known bugs", page)


def metric_rows() -> list[str]:
    """A row for each metric."""
    return [table_row(f"`{name}`", f"`{group_of(name)}/`", text) for name, text in METRICS.items()]


def table_row(*cells: str) -> str:
    """A line of a Markdown table."""
    plain = (" ".join(cell.split()).replace("``", "`").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(plain)} |\n"


def doctor_page() -> str:
    """The content of docs/guides/doctor.md."""
    lines = [DOCTOR_HEAD]
    for severity, meaning in SEVERITIES.items():
        lines += [f"## {severity.capitalize()}s: {meaning}", ""]
        for name, check in CHECKS.items():
            cause, remedy = (re.sub(r"--ppo[.][a-z-]+", r"`\g<0>`", text) for text in (check.cause, check.remedy))
            finds = inspect.getdoc(next(x for x in check if inspect.isfunction(x)))
            text = [f"### {name}", "", str(finds), "", f"- Cause: {cause}", f"- Remedy: {remedy}", ""]
            lines += text if check.severity == severity else []
    return "\n".join(lines)


def config_page() -> str:
    """The content of docs/reference/config.md."""
    text = CONFIG_HEAD
    for record, title in ((RunConfig, "RunConfig"), (PPOConfig, "PPOConfig"), (AtariConfig, "AtariConfig")):
        about = (inspect.getdoc(record) or "").replace("``", "`")
        text += f"\n## {title}\n\n{about}\n\n| setting | default | meaning |\n|---|---|---|\n"
        for field in dataclasses.fields(record):
            if field.default_factory is dataclasses.MISSING:
                default = "required" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
                also = [f"`{alias}`" for alias, setting in ALIASES.items() if setting == field.name]
                meaning = field_docs(record)[field.name] + (f" Also accepted: {', '.join(also)}." if also else "")
                text += table_row(f"`{field.name}`", default, meaning)
    return text + names_elsewhere()


def names_elsewhere() -> str:
    """The part of docs/reference/config.md on other libraries' names."""
    text = NAMES_HEAD
    rows = [(setting, difference(name), name) for name, setting in ELSEWHERE.items()]
    for (setting, note), same in itertools.groupby(rows, key=lambda row: row[:2]):
        text += table_row(", ".join(f"`{name}`" for *_, name in same), f"`{setting}`", note)
    for answer, names in itertools.groupby((ANSWERS | NAMES_ELSEWHERE).items(), key=itemgetter(1)):
        text += table_row(", ".join(f"`{name}`" for name, _ in names), "", answer)
    return text + METHODS


def field_docs(record: type) -> dict[str, str]:
    """The string below each field of a record."""
    body = ast.parse(inspect.getsource(record)).body[0].body  # type: ignore[attr-defined]
    docs = {}
    for line, below in itertools.pairwise(body):
        if isinstance(line, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[ast.unparse(line.target)] = str(below.value.value)
    return docs


@cache
def help_of(command: str) -> tuple[str, list[tuple[str, str, str]]]:
    """(what the command does, (flag, values, meaning) of each option) as ``--help`` prints them."""
    output, columns = io.TextIOWrapper(io.BytesIO(), "utf-8"), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "129"  # from 130 on it may be in two columns
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        proximax_command([command, "--help"])
    os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
    output.seek(0)
    plain = re.sub(r"\x1b\[[\d;]*m", "", output.read())
    about = plain.partition("\n\n")[2].partition("\n\n")[0].strip()
    options: list[tuple[str, str, str]] = []
    for line in re.findall(r"^│ (?:-[a-z] \S+, )?(.*?) *│$", plain, re.MULTILINE):  # a short form: the text names it
        flag, _, rest = line.partition(" ")
        if re.match(r"--?[a-z]|[A-Z]{2,}$", flag):
            values, _, meaning = rest.partition("  ")
            options.append((flag, values.strip(), meaning.strip()))
        elif options and line.startswith(" "):
            options[-1] = (*options[-1][:2], f"{options[-1][2]} {line.strip()}".strip())
    return about, options


def command_flags() -> set[str]:
    """All flags of all commands, of the benchmarks and of the tests' own scripts."""
    flags = {flag for command in COMMANDS for flag, _, _ in help_of(command)[1]}
    for script in [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("tests/**/*.py")]:
        flags |= set(re.findall(r'"(--[a-z][a-z-]*)"', script.read_text()))
    return flags


def cli_page() -> str:
    """The content of docs/reference/cli.md."""
    text = CLI_HEAD
    for command in COMMANDS:
        about, options = help_of(command)
        text += f"\n## proximax {command}\n\n{about}\n\n| flag | values | meaning |\n|---|---|---|\n"
        for flag, values, meaning in options:
            if not flag.startswith(("--ppo.", "--atari.", "-h")):
                text += table_row(
                    f"`{flag}`" if flag.startswith("-") else flag, f"`{values}`" if values else "", meaning
                )
    return text


def api_page() -> str:
    """The content of docs/reference/api.md."""
    grouped = {name for names in API_GROUPS.values() for name in names.split()} | set(ON_OTHER_PAGES)
    assert grouped == set(proximax.__all__), f"docs/generate.py: {sorted(grouped ^ set(proximax.__all__))}"
    text, settings = API_HEAD, field_docs(RunConfig)
    more = {"run": settings | api_pages.explained(proximax.train)}  # its docstring says: as in train
    for title, names in API_GROUPS.items():
        text += f"## {title}\n\n"
        parts = (
            api_pages.entry(name, getattr(proximax, name), "###", more.get(name, settings)) for name in names.split()
        )
        text += "".join(parts)
    text += "## On other pages\n\n| name | |\n|---|---|\n"
    text += "".join(table_row(f"`{name}`", about) for name, about in ON_OTHER_PAGES.items())
    text += "\n## Types\n\n| name | |\n|---|---|\n"
    return text + "".join(table_row(f"`{name}`", about) for name, about in TYPES.items())


def packages_table() -> str:
    """The packages from bottom to top, with their purpose and size."""
    text = "| level | package | purpose | lines, about |\n|--:|---|---|--:|\n"
    for level, names in enumerate(ROOMS):
        for name in names:
            files = [path for module, path in MODULES.items() if room(module) == name]
            face = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
            purpose = (ast.get_docstring(ast.parse(face.read_text())) or "").partition("\n\n")[0]
            link = face.parent.relative_to(ROOT) if face.name == "__init__.py" else face.relative_to(ROOT)
            size = round(sum(len(path.read_text().splitlines()) for path in files), -2)
            text += table_row(str(level), f"[{name}](../../{link})", purpose, f"{max(size, 100):,}")
    return text


def import_diagram() -> str:
    """Who imports from whom, without the arrows that follow from others."""
    pairs = arrows()
    below: dict[str, set[str]] = {}
    for name in (name for names in ROOMS for name in names):
        direct = {b for a, b in pairs if a == name}
        below[name] = direct.union(*(below[other] for other in direct))
    kept = [(a, b) for a, b in pairs if not any(b in below[c] for d, c in pairs if d == a and c != b)]
    text = "```mermaid\nflowchart TD\n"
    for names in reversed(ROOMS):
        for name in names:
            text += "".join(f"    {a} --> {b}\n" for a, b in sorted(kept) if a == name)
    return text + "```\n"
