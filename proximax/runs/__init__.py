"""A run on disk: its directory, metrics and checkpoints, and how they are read back.

Read ``directory``, ``metrics`` (what every number means), ``metrics_file`` (the reader of metrics.jsonl),
``checkpoint`` (the format), ``pytree_json``, ``progress`` (what a checkpoint keeps beside the training state),
``schedule`` (every so many steps), ``checkpoint_manager`` (when a run is saved), ``loading`` (the trained policies of a
run), ``run_export`` (one of them to a file that runs without JAX).
"""

from proximax.runs import checkpoint_manager
from proximax.runs.checkpoint import (
    POLICY,
    STATE,
    Checkpoint,
    Snapshot,
    checkpoint_names,
    find_checkpoint,
    progress_of,
)
from proximax.runs.checkpoint_manager import CheckpointManager, to_host_copy
from proximax.runs.directory import (
    EVALUATIONS_FILE,
    METRICS_FILE,
    Resume,
    RunDirectory,
    is_run_name,
    lock,
    run_name_of,
)
from proximax.runs.loading import (
    exported_config,
    load,
    load_agent,
    load_agents,
    load_config,
    load_file,
    policy_file,
    run_problem,
)
from proximax.runs.metrics import METRICS, RENAMED_METRICS, History
from proximax.runs.metrics_file import MAX_LINE_BYTES, MAX_METRICS_BYTES, parse_row, read_metrics
from proximax.runs.progress import LoggerState, LogPosition, RunProgress
from proximax.runs.pytree_json import bytes_of_tree, tree_of_bytes
from proximax.runs.run_export import export
from proximax.runs.schedule import Every

__all__ = [
    "EVALUATIONS_FILE",
    "MAX_LINE_BYTES",
    "MAX_METRICS_BYTES",
    "METRICS",
    "METRICS_FILE",
    "POLICY",
    "RENAMED_METRICS",
    "STATE",
    "Checkpoint",
    "CheckpointManager",
    "Every",
    "History",
    "LogPosition",
    "LoggerState",
    "Resume",
    "RunDirectory",
    "RunProgress",
    "Snapshot",
    "bytes_of_tree",
    "checkpoint_manager",
    "checkpoint_names",
    "export",
    "exported_config",
    "find_checkpoint",
    "is_run_name",
    "load",
    "load_agent",
    "load_agents",
    "load_config",
    "load_file",
    "lock",
    "parse_row",
    "policy_file",
    "progress_of",
    "read_metrics",
    "run_name_of",
    "run_problem",
    "to_host_copy",
    "tree_of_bytes",
]
