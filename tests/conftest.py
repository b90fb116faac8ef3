"""The whole suite runs with rank promotion forbidden (trap 10: (B, 1) - (B,) would silently make (B, B)).

Its processes share one new folder of compiled programs, so that none compiles what another has. Properties are tried on
the same few examples every time; ``--hypothesis-profile=more`` draws many, others each time. ``--trap 12`` and
``--fault 24`` choose the tests that are marked with the number.
"""

import os
import shutil
import signal
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
OWN_CACHE = "JAX_COMPILATION_CACHE_DIR" not in os.environ
if OWN_CACHE:  # the workers of pytest-xdist inherit it
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="proximax-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's & has it; tests of Ctrl-C and what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
EXAMPLES = {"few": 25, "more": 1000}
for profile, examples in EXAMPLES.items():
    few = profile == "few"
    settings.register_profile(
        profile, max_examples=examples, derandomize=few, database=None, deadline=None, print_blob=True
    )
settings.load_profile("few")

NUMBERED = {"trap": "docs/development/traps.md", "fault": "docs/development/faults.md"}


def pytest_addoption(parser: pytest.Parser) -> None:
    for mark, page in NUMBERED.items():
        parser.addoption(f"--{mark}", type=int, metavar="NUMBER", help=f"only tests of this number in {page}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for mark in NUMBERED:
        number = config.getoption(mark)
        if number is not None:
            chosen = [item for item in items if number in numbers(item, mark)]
            config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
            items[:] = chosen


def numbers(item: pytest.Item, mark: str) -> set[int]:
    """The numbers that a test is marked with."""
    return {number for found in item.iter_markers(mark) for number in found.args}


def pytest_unconfigure() -> None:
    if OWN_CACHE:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
