"""Settings: documented records, their validation, tuned presets.

Read ``ppo_config`` (settings of the algorithms), ``run_config`` (settings of a run), ``atari_config`` (preprocessing),
``presets`` (tuned settings), ``libraries`` (settings of other libraries), ``settings_file`` (presets of the user's),
``validation`` (ranges and choices), ``renames`` (other names of settings).
"""

from proximax.config import presets
from proximax.config.atari_config import AtariConfig
from proximax.config.libraries import LIBRARIES, LibraryName, library_settings
from proximax.config.ppo_config import NUMBERS, Activation, Annealed, PPOConfig
from proximax.config.presets import PRESETS, find_preset, preset_settings
from proximax.config.renames import (
    ALIASES,
    ANSWERS,
    ELSEWHERE,
    RENAMED_SETTINGS,
    RENAMED_VALUES,
    VALUE_ALIASES,
    current_names,
    difference,
)
from proximax.config.run_config import (
    MAX_EPISODE_STEPS,
    AlgorithmName,
    Autoreset,
    NetworkName,
    RunConfig,
    custom_name,
    from_json,
    is_custom,
    seconds_or_steps,
)
from proximax.config.settings_file import is_settings_file, preset_of, read_preset_file, read_settings_file, toml_text
from proximax.config.validation import (
    COUNT,
    SEED,
    Rule,
    bool_problem,
    check_names,
    choice_problem,
    flatten_dict,
    path_problem,
    range_problem,
    refuse,
    shown,
    type_problem,
)

__all__ = [
    "ALIASES",
    "ANSWERS",
    "COUNT",
    "ELSEWHERE",
    "LIBRARIES",
    "MAX_EPISODE_STEPS",
    "NUMBERS",
    "PRESETS",
    "RENAMED_SETTINGS",
    "RENAMED_VALUES",
    "SEED",
    "VALUE_ALIASES",
    "Activation",
    "AlgorithmName",
    "Annealed",
    "AtariConfig",
    "Autoreset",
    "LibraryName",
    "NetworkName",
    "PPOConfig",
    "Rule",
    "RunConfig",
    "bool_problem",
    "check_names",
    "choice_problem",
    "current_names",
    "custom_name",
    "difference",
    "find_preset",
    "flatten_dict",
    "from_json",
    "is_custom",
    "is_settings_file",
    "library_settings",
    "path_problem",
    "preset_of",
    "preset_settings",
    "presets",
    "range_problem",
    "read_preset_file",
    "read_settings_file",
    "refuse",
    "seconds_or_steps",
    "shown",
    "toml_text",
    "type_problem",
]
