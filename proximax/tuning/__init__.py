"""Search settings: many trials side by side in one program, by Optuna.

Read ``start`` (``tune``), ``search`` (the loop), ``trial_batch`` (trials in one program), ``search_space`` (what is
searched), ``optuna_study`` (what is tried next, and what was), ``outcome`` and ``study_page`` (what was found).
"""

from proximax.tuning.optuna_study import PrunerName, SamplerName, TrialRecord
from proximax.tuning.outcome import FRESH_SEEDS, TuneResult, counts_text, trial_table
from proximax.tuning.search_space import SEARCHABLE, default_space, search_space
from proximax.tuning.start import HALVINGS, SEARCH_SEED, execute_tuning, plan_tuning, tune

__all__ = [
    "FRESH_SEEDS",
    "HALVINGS",
    "SEARCHABLE",
    "SEARCH_SEED",
    "PrunerName",
    "SamplerName",
    "TrialRecord",
    "TuneResult",
    "counts_text",
    "default_space",
    "execute_tuning",
    "plan_tuning",
    "search_space",
    "trial_table",
    "tune",
]
