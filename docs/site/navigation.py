"""The order of the site's pages. A page that is missing here, or that does not exist, fails the build."""

NAVIGATION: dict[str, list[str]] = {
    "Start": ["docs/getting-started.md", "docs/quickstart.ipynb", "docs/how-do-i.md", "docs/guides/migrate.md"],
    "Course": [
        "docs/course/index.md",
        "docs/course/1-policy-gradient.ipynb",
        "docs/course/2-reinforce.ipynb",
        "docs/course/3-surrogate.ipynb",
        "docs/course/4-clipping.ipynb",
        "docs/course/5-pong.ipynb",
    ],
    "Train": [
        "docs/guides/environments.md",
        "docs/guides/runs.md",
        "docs/guides/networks.md",
        "docs/guides/memory.md",
        "docs/guides/atari.md",
        "docs/guides/tune.md",
        "docs/guides/speed.md",
        "docs/guides/many-machines.md",
        "docs/guides/scaling.md",
    ],
    "Look at runs": [
        "docs/guides/watch.md",
        "docs/guides/doctor.md",
        "docs/guides/compare.md",
        "docs/guides/statistics.md",
        "docs/guides/report.md",
    ],
    "Use the policy": ["docs/guides/deploy.md"],
    "Algorithms": [
        "docs/algorithms/overview.md",
        "docs/algorithms/reinforce.md",
        "docs/algorithms/a2c.md",
        "docs/algorithms/npg.md",
        "docs/algorithms/trpo.md",
        "docs/algorithms/surrogate.md",
        "docs/algorithms/ppo-penalty.md",
        "docs/algorithms/ppo-clip.md",
        "docs/algorithms/variants.md",
        "docs/algorithms/trust-region-theory.md",
    ],
    "Reference": [
        "docs/reference/api.md",
        "docs/reference/maths.md",
        "docs/reference/config.md",
        "docs/reference/cli.md",
        "docs/reference/metrics.md",
        "docs/reference/exit-codes.md",
    ],
    "Evidence": [
        "benchmarks/README.md",
        "benchmarks/learning/presets.md",
        "benchmarks/learning/atari.md",
        "benchmarks/learning/networks.md",
        "benchmarks/learning/practice.md",
        "benchmarks/learning/memory.md",
        "benchmarks/learning/memory_tasks.md",
        "benchmarks/learning/migration.md",
        "benchmarks/parity/sb3_update.md",
        "benchmarks/speed/speed.md",
        "benchmarks/LEADERBOARD.md",
        "benchmarks/speed/processes.md",
        "benchmarks/gpu/gpu.md",
        "benchmarks/kernels/convolutions.md",
        "benchmarks/robustness/kill_and_resume.md",
        "benchmarks/robustness/fault_injection.md",
        "benchmarks/robustness/worker_faults.md",
        "benchmarks/robustness/many_processes.md",
        "benchmarks/robustness/shards.md",
        "benchmarks/robustness/checkpoint_cost.md",
        "tests/mutants/results.md",
    ],
    "Development": [
        "docs/development/architecture.md",
        "docs/development/glossary.md",
        "docs/development/testing.md",
        "docs/development/traps.md",
        "docs/development/faults.md",
        "docs/development/field-reports.md",
        "docs/development/log.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ],
}
FIRST = "docs/index.md"
PLACES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
PLACES |= {"benchmarks/README.md": "benchmarks/index.md", "tests/mutants/results.md": "development/mutants.md"}
INSTEAD = {"README.md": FIRST}  # the front page of the repository; the site has its own


def place_of(page: str) -> str:
    """Where a page of the repository is in the site."""
    page = INSTEAD.get(page, page)
    place = PLACES.get(page, page.removeprefix("docs/"))
    return place.removesuffix(".ipynb") + ".md" if place.endswith(".ipynb") else place


def pages() -> list[str]:
    """All pages, as paths in the repository."""
    return [FIRST, *(page for group in NAVIGATION.values() for page in group)]


def contents() -> str:
    """The navigation as directives of Sphinx, for the end of the first page."""
    groups = [
        "\n".join([f"```{{toctree}}\n:hidden:\n:caption: {caption}\n", *map(place_of, names), "```\n"])
        for caption, names in NAVIGATION.items()
    ]
    return "\n" + "\n".join(groups)
