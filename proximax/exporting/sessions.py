"""What runs an exported ONNX file: onnxruntime where it is installed, else the reference of the package ``onnx``."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from proximax.errors import CheckpointError, DependencyError
from proximax.exporting.graph import REMEDY

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]  # inputs by name -> outputs by name


def session(data: bytes, where: object, threads: int = 1) -> Run:
    """A model, as the bytes of a file, ready to run; ``where``: the file, for errors."""
    try:
        import onnxruntime
    except ImportError:
        return reference(data, where)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    try:
        model = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, which have no common base
        raise CheckpointError(f"{where} cannot be run by onnxruntime: {error}") from error
    names = [x.name for x in model.get_outputs()]

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return dict(zip(names, model.run(names, dict(inputs))))

    return run


def reference(data: bytes, where: object) -> Run:
    """The same by the package ``onnx`` alone, in NumPy."""
    try:
        import onnx
        import onnx.reference
    except ImportError as error:
        raise DependencyError(REMEDY) from error
    try:
        model = onnx.reference.ReferenceEvaluator(onnx.load_from_string(data))
    except Exception as error:
        raise CheckpointError(f"{where} cannot be run by onnx.reference: {error}") from error
    names = list(model.output_names)

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return dict(zip(names, model.run(names, dict(inputs))))

    return run
