"""The state of Gymnasium environments as plain values and arrays: it can be saved and restored exactly.

The table ``KNOWN`` has the attributes that decide the future of Gymnasium's own environments and wrappers; any other
class has the methods ``get_state`` and ``set_state``. Where a part has neither, the state is not available: None.

A plain value is None, bool, int, float, str, an array of numbers, or a list or dict (with strings as keys) of these.
Worker processes load this file by its path, so it imports neither proximax nor JAX.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import Wrapper
from gymnasium.vector import VectorWrapper

MAX_DEPTH = 64  # of lists in lists
AUTO_RESTART = "proximax.envs.crash_recovery:AutoRestartEnv"  # a stateless wrapper that only some runs have
LISTS = "gymnasium.vector.sync_vector_env:SyncVectorEnv", "proximax.envs.in_process:InProcessEnvs"


class StateError(ValueError):
    """A state that does not fit its environment, or that does not consist of plain values."""


class Field(NamedTuple):
    """What one attribute may hold. ``N`` in a shape stands for the number of environments."""

    kind: Callable[[Any], Any]  # ``np.array``, ``int``, ``bool`` or ``float``
    shape: tuple[int | str, ...] = ()
    dtypes: tuple[str, ...] = ()
    optional: bool = False  # may be None


def _array(*shape: int | str, dtypes: tuple[str, ...] = ("float64",)) -> Field:
    return Field(np.array, shape, dtypes, True)


def _map_to_string(letters: np.ndarray) -> str:
    """A map of letters as one string."""
    return "/".join(b"".join(row).decode("latin-1") for row in letters)


COUNT, FLAG, NUMBER, MAP = Field(int), Field(bool), Field(float), Field(_map_to_string)
EITHER = ("float64", "float32")  # a reset and a step may leave different dtypes
Fields = dict[str, Field]
_CONTROL, _TEXT, _SINGLE = "gymnasium.envs.classic_control.", "gymnasium.envs.toy_text.", "gymnasium.wrappers."
# The attributes of each class that decide its future; those that only rendering reads are left out.
KNOWN: dict[str, Fields] = {
    f"{_CONTROL}cartpole:CartPoleEnv": {"state": _array(4), "steps_beyond_terminated": COUNT._replace(optional=True)},
    f"{_CONTROL}acrobot:AcrobotEnv": {"state": _array(4, dtypes=EITHER)},
    f"{_CONTROL}mountain_car:MountainCarEnv": {"state": _array(2)},
    f"{_CONTROL}continuous_mountain_car:Continuous_MountainCarEnv": {"state": _array(2, dtypes=EITHER)},
    f"{_CONTROL}pendulum:PendulumEnv": {"state": _array(2, dtypes=EITHER)},
    f"{_CONTROL}cartpole:CartPoleVectorEnv": {
        "state": _array(4, "N"),
        "steps": _array("N", dtypes=("int32",)),
        "prev_done": _array("N", dtypes=("bool",)),
        "low": NUMBER,
        "high": NUMBER,
    },
    f"{_TEXT}frozen_lake:FrozenLakeEnv": {"s": COUNT, "desc": MAP},
    f"{_TEXT}cliffwalking:CliffWalkingEnv": {"s": COUNT},
    f"{_TEXT}taxi:TaxiEnv": {"s": COUNT, "fickle_step": FLAG},
    f"{_SINGLE}common:OrderEnforcing": {"_has_reset": FLAG},
    f"{_SINGLE}common:PassiveEnvChecker": {"checked_reset": FLAG, "checked_step": FLAG},
    f"{_SINGLE}common:TimeLimit": {"_elapsed_steps": COUNT._replace(optional=True)},
    f"{_SINGLE}common:Autoreset": {"autoreset": FLAG},
    f"{_SINGLE}common:RecordEpisodeStatistics": {"episode_returns": NUMBER, "episode_lengths": COUNT},
    f"{_SINGLE}stateful_observation:TimeAwareObservation": {"timesteps": COUNT},
    f"{_SINGLE}vector.common:RecordEpisodeStatistics": {
        "episode_returns": _array("N"),
        "episode_lengths": _array("N", dtypes=("int64",)),
        "prev_dones": _array("N", dtypes=("bool",)),
    },
}
KNOWN |= {  # stateless wrappers; those of a user's function are not among them
    f"{_SINGLE}{wrapper}": {}
    for wrapper in (
        *("transform_action:ClipAction", "transform_action:RescaleAction", "transform_action:DiscretizeAction"),
        *("transform_observation:FilterObservation", "transform_observation:FlattenObservation"),
        *("transform_observation:GrayscaleObservation", "transform_observation:ResizeObservation"),
        *("transform_observation:ReshapeObservation", "transform_observation:RescaleObservation"),
        *("transform_observation:DtypeObservation", "transform_observation:DiscretizeObservation"),
        "transform_reward:ClipReward",
    )
}
# Fields of MuJoCo's data that Gymnasium's environments read before they take the next step. MuJoCo computes them at the
# start of a step, so they are not a function of the positions that the step reached.
LAST_SEEN = ("xpos", "xipos", "site_xpos", "cinert", "cvel", "cfrc_ext", "qfrc_actuator")


def get_state(env: object) -> dict[str, Any] | None:
    """The state of one environment with its wrappers; None where that of a layer is not available."""
    parts = [_layer_state(layer) for layer in layers(env)]
    return None if None in parts else {"parts": parts}


def set_state(env: object, state: object) -> None:
    """Put ``state`` into an environment created like the one it came from; raises ``StateError`` if it does not fit."""
    parts = expect_keys(state, ("parts",), "the environment's state")["parts"]
    env_layers = list(layers(env))
    if not isinstance(parts, list) or len(parts) != len(env_layers):
        raise StateError(f"it has {_describe(parts)} as parts, the environment is made of {len(env_layers)}")
    for layer, part in zip(env_layers, parts):
        _restore(layer, part)


def get_states(env: object) -> dict[str, Any] | None:
    """The state of a vector environment: ``vector`` of its layers, ``envs`` of the environments in a SyncVectorEnv."""
    vector_layers = list(layers(env))
    inner = vector_layers.pop().envs if _name(vector_layers[-1]) in LISTS else []
    envs = [get_state(env) for env in inner]
    vector = [_layer_state(layer) for layer in vector_layers]
    return None if None in envs + vector else {"vector": vector, "envs": envs}


def set_states(env: object, vector: list[Any], envs: list[Any]) -> None:
    """Restore the state that ``get_states`` returned."""
    vector_layers = list(layers(env))
    inner = vector_layers.pop().envs if _name(vector_layers[-1]) in LISTS else []
    if (len(vector), len(envs)) != (len(vector_layers), len(inner)):
        raise StateError(
            f"it is of {len(envs)} environments in {len(vector)} vector layers; here are {len(inner)} in "
            f"{len(vector_layers)}"
        )
    for layer, part in zip(vector_layers, vector):
        _restore(layer, part)
    for i, (env, state) in enumerate(zip(inner, envs)):
        set_one(env, state, i)


def set_one(env: object, state: object, i: int) -> None:
    """``set_state`` of environment ``i``, which an error names."""
    try:
        set_state(env, state)
    except StateError as error:
        raise StateError(f"environment {i}: {error}") from error


def layers(env: object) -> Iterator[Any]:
    """The wrappers, outermost first, then the environment that they wrap."""
    while isinstance(env, (Wrapper, VectorWrapper)):
        if _name(env) != AUTO_RESTART:
            yield env
        env = env.env
    yield env


def _name(layer: object) -> str:
    return f"{type(layer).__module__}:{type(layer).__qualname__}"


def _layer_state(layer: Any) -> dict[str, Any] | None:
    """The state of one layer, with its random generator if it is the innermost."""
    name, state = _name(layer), None
    if _implements_state_protocol(layer):
        state = _call_env(f"{name}.get_state", layer.get_state)
        state = None if state is None else {"own": copy_plain(state, f"{name}.get_state()")}
    elif name in KNOWN:
        values = {key: (field, getattr(layer, key)) for key, field in KNOWN[name].items()}
        state = {key: None if value is None else field.kind(value) for key, (field, value) in values.items()}
    elif _is_mujoco(layer):
        state = _get_mujoco(layer)
    generator = None if isinstance(layer, (Wrapper, VectorWrapper)) or state is None else _generator(layer)
    if state is None or generator is False:
        return None
    return {"name": name, "state": state, "generator": generator}


def _restore(layer: Any, part: Any) -> None:
    name = _name(layer)
    part = expect_keys(part, ("name", "state", "generator"), "a part")
    if part["name"] != name:
        raise StateError(f"it is of {_describe(part['name'])}, where there is a {name}")
    state = part["state"]
    if _implements_state_protocol(layer):
        _call_env(f"{name}.set_state", layer.set_state, copy_plain(expect_keys(state, ("own",), name)["own"], name))
    elif name in KNOWN:
        fields, num_envs = KNOWN[name], getattr(layer, "num_envs", 0)
        values = expect_keys(state, tuple(fields), name)
        for key, field in fields.items():
            if field is MAP:  # it may be generated by the constructor, and never changes
                _check_equal(values[key], _map_to_string(getattr(layer, key)), f"{name}.{key}")
            else:
                setattr(layer, key, _checked(field, values[key], num_envs, f"{name}.{key}"))
        if "s" in fields and not layer.s < layer.observation_space.n:
            raise StateError(f"{name}.s is {layer.s}, of {layer.observation_space.n} states")
    elif _is_mujoco(layer):
        _set_mujoco(layer, expect_keys(state, ("integration", "last_seen"), name))
    else:
        raise StateError(f"{name} has no state that can be restored")
    if not isinstance(layer, (Wrapper, VectorWrapper)):
        _set_generator(layer, part["generator"], name)


def _implements_state_protocol(layer: object) -> bool:
    """Whether it has both methods, and they take what proximax calls them with; others mean something else by them."""
    methods = [getattr(type(layer), name, None) for name in ("get_state", "set_state")]
    return all(map(callable, methods)) and all(map(_takes, methods, ([layer], [layer, {}])))


def _takes(method: Any, arguments: list[Any]) -> bool:
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # it is written in C, and does not say what it takes
        pass
    return True


def _call_env(name: str, method: Callable[..., Any], *arguments: object) -> Any:
    try:
        return method(*arguments)
    except (Exception, SystemExit) as error:
        text = "".join(traceback.format_exception_only(error)).strip()  # also where its own text raises
        raise StateError(f"{name} raised {text}") from error


# ---------------------------------------------------------------- values


def copy_plain(value: object, path: str, depth: int = 0) -> Any:
    """A copy; refuses what is not a plain value, naming its path. NumPy's scalars become equal Python numbers."""
    if depth > MAX_DEPTH:
        raise StateError(f"{path[:80]}... is nested more than {MAX_DEPTH} deep")
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return np.array(value, order="C")
    if isinstance(value, list):
        return [copy_plain(x, f"{path}[{i}]", depth + 1) for i, x in enumerate(value)]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {key: copy_plain(x, f"{path}[{key!r}]", depth + 1) for key, x in value.items()}
    for kinds, cast in (((bool, np.bool_), bool), ((int, np.integer), int), (float, float), (str, str)):
        if isinstance(value, kinds):
            return cast(value)
    if value is None:
        return None
    raise StateError(
        f"{path} is a {type(value).__name__}: give None, bool, int, float, str, an array of numbers, or a list or dict "
        "(with strings as keys) of these"
    )


def expect_keys(value: object, names: tuple[str, ...], name: str) -> dict[str, Any]:
    """``value``, a dict with exactly these entries."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise StateError(f"{name} is {_describe(value)}, not a dict of {', '.join(names) or 'nothing'}")
    return value


def _describe(value: object) -> str:
    """A value that was read, for an error message."""
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, list(value)[:8])) or 'nothing'}"
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {value.shape}"
    return f"{len(value)} values" if isinstance(value, list) else repr(value)[:80]


def _checked(field: Field, value: Any, num_envs: int, name: str) -> Any:
    if value is None and field.optional:
        return None
    if field.kind is np.array:
        shape = tuple(num_envs if n == "N" else n for n in field.shape)
        return array(value, shape, field.dtypes, name)
    if type(value) is not field.kind or (field.kind is int and not 0 <= value < 2**63):
        expected = "int from 0" if field.kind is int else field.kind.__name__
        raise StateError(f"{name} is {_describe(value)}, not {expected}")
    return value


def _check_equal(value: object, expected: str, name: str) -> None:
    if value != expected:
        raise StateError(f"{name} is {_describe(value)}, where there is {expected!r}")


def array(value: object, shape: tuple[Any, ...], dtypes: tuple[str, ...], name: str) -> np.ndarray:
    """A copy of ``value``, an array of this shape and one of these dtypes."""
    if not isinstance(value, np.ndarray) or value.shape != shape or str(value.dtype) not in dtypes:
        raise StateError(f"{name} is {_describe(value)}, not an array {' or '.join(dtypes)} {shape}")
    return np.array(value)


# ---------------------------------------------------------------- generators and MuJoCo


def _generator(env: object) -> Any:
    """The state of its random generator; False where that is of an unknown type."""
    generator = getattr(env, "np_random", None)
    if type(generator) is not np.random.Generator or type(generator.bit_generator) is not np.random.PCG64:
        return False
    return copy_plain(generator.bit_generator.state, "np_random")


def _set_generator(env: Any, state: Any, name: str) -> None:
    fresh = np.random.PCG64(0)
    values = expect_keys(state, tuple(fresh.state), f"the generator of {name}")
    inner = expect_keys(values["state"], ("state", "inc"), f"the generator of {name}")
    sizes = ((inner["state"], 128), (inner["inc"], 128), (values["has_uint32"], 1), (values["uinteger"], 32))
    if values["bit_generator"] != "PCG64" or not all(type(n) is int and 0 <= n < 2**bits for n, bits in sizes):
        raise StateError(f"the generator of {name} is not a state of a PCG64")
    fresh.state = state
    env.np_random.bit_generator.state = fresh.state


def _is_mujoco(env: object) -> bool:
    """Whether it is one of Gymnasium's own MuJoCo environments; a subclass may have more state."""
    if not type(env).__module__.startswith("gymnasium.envs.mujoco."):
        return False
    from gymnasium.envs.mujoco import MujocoEnv

    return isinstance(env, MujocoEnv)


def _get_mujoco(env: Any) -> dict[str, Any]:
    import mujoco

    signature = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(env.model, signature))
    mujoco.mj_getState(env.model, env.data, state, signature)
    return {"integration": state, "last_seen": {name: np.array(getattr(env.data, name)) for name in LAST_SEEN}}


def _set_mujoco(env: Any, state: dict[str, Any]) -> None:
    import mujoco

    signature = mujoco.mjtState.mjSTATE_INTEGRATION
    size = mujoco.mj_stateSize(env.model, signature)
    seen = expect_keys(state["last_seen"], LAST_SEEN, f"last_seen of {_name(env)}")
    for name in LAST_SEEN:
        field = getattr(env.data, name)
        field[...] = array(seen[name], field.shape, ("float64",), f"{_name(env)}: data.{name}")
    physics = array(state["integration"], (size,), ("float64",), f"{_name(env)}: MuJoCo's state")
    mujoco.mj_setState(env.model, env.data, physics, signature)
