"""Settings of the whole suite: lanes and how programs are compiled; docs/development/testing.md explains the marks.

Rank promotion is forbidden (trap 10: (B, 1) - (B,) would silently make (B, B)). Compiled programs are kept below
``.pytest_cache`` for the next run and for the processes that tests start. Properties are tried on the same few examples
every time; ``--hypothesis-profile=more`` draws many, others each time. ``--trap 12`` and ``--fault 24`` choose the
tests that are marked with the number; ``--cluster`` adds those that need launchers.
"""

import gc
import os
import signal

os.environ.setdefault("JAX_PLATFORMS", "cpu")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's & has it; tests of Ctrl-C and what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import pytest
from hypothesis import settings

from tests.support.quick_compiler import compile_quickly, keep_programs

jax.config.update("jax_numpy_rank_promotion", "raise")
EXAMPLES = {"few": 25, "more": 1000}
for profile, examples in EXAMPLES.items():
    few = profile == "few"
    settings.register_profile(
        profile, max_examples=examples, derandomize=few, database=None, deadline=None, print_blob=True
    )
settings.load_profile("few")

NUMBERED = {"trap": "docs/development/traps.md", "fault": "docs/development/faults.md"}


@pytest.fixture(autouse=True)
def messages_on_stderr():
    """As on the command line; to the library pytest's own handlers look like a program that has configured logging."""
    from proximax.runtime import show_messages

    with show_messages(always=True):
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    for mark, page in NUMBERED.items():
        parser.addoption(f"--{mark}", type=int, metavar="NUMBER", help=f"only tests of this number in {page}")
    parser.addoption("--cluster", action="store_true", help="also tests of launchers: make test-cluster installs them")


@pytest.hookimpl(trylast=True)  # after jaxtyping has begun to watch imports
def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs below ``.pytest_cache``."""
    keep_programs(config.rootpath)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for mark in NUMBERED:
        number = config.getoption(mark)
        if number is not None:
            chosen = [item for item in items if number in numbers(item, mark)]
            config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
            items[:] = chosen
    if not config.getoption("cluster"):
        left_out = [item for item in items if item.get_closest_marker("cluster")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]

    items.sort(key=is_optimised)  # stable: those last, since a change of the way to compile forgets what was compiled


def is_optimised(item: pytest.Item) -> bool:
    """Whether the test needs programs as users have them; others run for less time than it takes to optimise them."""
    return item.get_closest_marker("optimised") is not None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for garbage less often, and not among the modules: JAX creates many objects, and keeps most."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def numbers(item: pytest.Item, mark: str) -> set[int]:
    """The numbers that a test is marked with."""
    return {number for found in item.iter_markers(mark) for number in found.args}


@pytest.hookimpl(tryfirst=True)  # before the fixtures of modules
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile with little effort, unless the test needs programs as users have them; its processes do alike."""
    compile_quickly(not is_optimised(item))
