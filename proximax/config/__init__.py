"""Settings: documented records, their validation, tuned presets.

Read ``ppo_config`` (settings of the algorithms), ``run_config`` (settings of a run), ``atari_config`` (preprocessing),
``presets`` (tuned settings), ``validation`` (ranges and choices), ``renames`` (earlier names of settings).
"""

from proximax.config import presets
from proximax.config.atari_config import AtariConfig
from proximax.config.ppo_config import Activation, PPOConfig
from proximax.config.presets import PRESETS, find_preset, preset_settings
from proximax.config.renames import ALIASES, RENAMED_SETTINGS, RENAMED_VALUES, current_names
from proximax.config.run_config import (
    AlgorithmName,
    Autoreset,
    NetworkName,
    RunConfig,
    custom_name,
    from_json,
    is_custom,
    seconds_or_steps,
)
from proximax.config.validation import check_names

__all__ = [
    "ALIASES",
    "PRESETS",
    "RENAMED_SETTINGS",
    "RENAMED_VALUES",
    "Activation",
    "AlgorithmName",
    "AtariConfig",
    "Autoreset",
    "NetworkName",
    "PPOConfig",
    "RunConfig",
    "check_names",
    "current_names",
    "custom_name",
    "find_preset",
    "from_json",
    "is_custom",
    "preset_settings",
    "presets",
    "seconds_or_steps",
]
