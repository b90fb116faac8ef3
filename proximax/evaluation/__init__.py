"""Play episodes with a trained policy: score them, record them.

Read ``subjects`` (what is evaluated, and on what), ``episodes`` (the loop on host environments), ``evaluator``,
``stepwise`` (exported policies on compiled environments), ``statistics`` (over seeds), ``recording`` and
``video_encoding`` (videos).
"""

from proximax.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    Purpose,
    evaluate,
    evaluation_seed,
    make_evaluator,
)
from proximax.evaluation.recording import Video, VideoRecorder, video
from proximax.evaluation.statistics import (
    Summary,
    interquartile_mean,
    mean_interval,
    summarise_returns,
    t_quantile,
)
from proximax.evaluation.subjects import check_import
from proximax.evaluation.video_encoding import require_encoder, small_gif

__all__ = [
    "Evaluation",
    "Evaluator",
    "Purpose",
    "Summary",
    "Video",
    "VideoRecorder",
    "check_import",
    "evaluate",
    "evaluation_seed",
    "interquartile_mean",
    "make_evaluator",
    "mean_interval",
    "require_encoder",
    "small_gif",
    "summarise_returns",
    "t_quantile",
    "video",
]
