"""How the packages stand to one another: their order, their faces, and what must never reach what."""

import importlib

import pytest

import proximax
from tests.support.imports import FACES, MODULES, PACKAGE, ROOMS, imports, level, reached, room, used

SPINE = [name for name in MODULES if room(name) == "ppo" and name != "ppo"]
READ_IN_ONE_SITTING = [
    *("ppo.learner", "ppo.rollout", "ppo.values", "ppo.update", "ppo.losses", "ppo.records"),
    *("ppo.algorithms", "ppo.policy_steps", "maths.advantages", "maths.objectives"),
]


@pytest.mark.parametrize("module", MODULES)
def test_a_package_imports_only_from_packages_below_it(module):
    for other in used(module):
        if room(other) != room(module):
            assert level(other) < level(module), f"{module} imports {other}"


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_are_imported_through_their_faces(module):
    for source, name in imports(module):
        inside = source.partition(".")[2]
        if inside and room(source) != room(module):
            assert not name, f"{module} imports {name} from {source}"
            face = importlib.import_module(f"proximax.{room(source)}")
            assert inside in face.__all__, f"{module} imports the module {source}"


@pytest.mark.parametrize("name", [name for names in ROOMS for name in names if name in FACES])
def test_a_face_says_what_lives_there_and_exports_what_it_says(name):
    face = importlib.import_module(f"proximax.{name}")
    assert "Read " in face.__doc__ or name == "maths"
    assert face.__all__ == sorted(face.__all__, key=lambda x: (not x.isupper(), not x[0].isupper(), x))
    for export in face.__all__:
        assert hasattr(face, export)
    for module in MODULES:  # the docstring names every module, so that a reader knows where to begin
        if module.startswith(f"{name}.") and module.count(".") == 1 and not module.endswith("__main__"):
            assert f"``{module.partition('.')[2]}``" in face.__doc__ or name == "maths", module


@pytest.mark.parametrize(
    ("module", "never"),
    [
        *((module, "envs") for module in ("ppo.update", "ppo.losses", "ppo.values", "ppo.policy_steps")),
        *((module, "networks") for module in MODULES if room(module) == "envs"),
        *((module, "policy") for module in MODULES if room(module) == "envs"),
        *((module, "envs") for module in MODULES if room(module) in ("networks", "policy")),
        *((module, "ppo") for module in MODULES if room(module) == "doctor"),
    ],
)
def test_what_must_not_know_of_one_another_does_not_meet_even_through_others(module, never):
    assert not [other for other in reached(module) if room(other) == never]


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "maths"])
def test_mathematics_reaches_nothing_but_the_records(module):
    assert {room(other) for other in reached(module)} <= {"maths", "types"}


def test_the_worker_processes_import_neither_proximax_nor_jax():
    for module in ("envs.workers.main", "envs.workers.watchdog", "envs.env_state"):
        assert not imports(module)
        assert "import jax" not in MODULES[module].read_text()


def lines(module):
    return len(MODULES[module].read_text().splitlines())


def test_the_spine_is_read_in_one_sitting():
    assert sum(map(lines, SPINE)) <= 1830  # 360 of them for shards: parts of a rollout on several devices
    assert max(map(lines, SPINE)) <= 300
    assert sum(map(lines, READ_IN_ONE_SITTING)) <= 1100


def test_one_update_on_a_host_environment_is_followed_without_leaving_the_spine():
    below = {"ppo", "policy", "maths", "envs", "config", "spaces", "runtime", "types", "errors", "networks"}
    assert {room(other) for other in reached("ppo.host_learner")} <= below


def test_every_module_is_in_a_room():
    known = {name for names in ROOMS for name in names} | {"", "__main__"}
    assert {room(name) for name in MODULES} - known <= {"_renamed"}
    assert all((PACKAGE / name / "__init__.py").exists() or (PACKAGE / f"{name}.py").exists() for name in known - {""})


def test_no_module_bears_the_name_of_a_public_function():
    modules = {name.rpartition(".")[2] for name in MODULES if name != "maths"}
    assert not modules & ({*proximax.__all__} | {*proximax.maths.__all__})


def test_dir_shows_the_public_names():
    assert dir(proximax) == sorted(proximax.__all__)
