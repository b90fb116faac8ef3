"""Play episodes with a trained policy: score them, record them.

Read ``episodes`` (the loop on host environments), ``evaluator``, ``statistics`` (over seeds), ``recording`` and
``video_encoding`` (videos).
"""

from proximax.evaluation.evaluator import EVALUATION_SEED, Evaluation, Evaluator, check_import, evaluate, make_evaluator
from proximax.evaluation.recording import Video, VideoRecorder, video
from proximax.evaluation.statistics import Summary, interquartile_mean, summarise_returns
from proximax.evaluation.video_encoding import number, require_encoder

__all__ = [
    "EVALUATION_SEED",
    "Evaluation",
    "Evaluator",
    "Summary",
    "Video",
    "VideoRecorder",
    "check_import",
    "evaluate",
    "interquartile_mean",
    "make_evaluator",
    "number",
    "require_encoder",
    "summarise_returns",
    "video",
]
