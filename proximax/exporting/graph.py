"""An ONNX graph under construction: nodes, constants, and shapes with the batch size in them.

An array that is the same along an axis is kept with one element there, as ONNX's operators broadcast by themselves; it
is expanded only where an operator needs it whole. What depends on constants alone never becomes a node.
"""

from typing import Any, NamedTuple

import numpy as np

from proximax.errors import DependencyError, UsageError
from proximax.exporting.tracing import BATCHES, Dim, Dims

REMEDY = 'exported files need the package onnx: pip install "proximax[export]"'
OPSET, IR = 18, 8  # of ONNX 1.13 (2022): what onnxruntime and onnxruntime-web of the last years read
ONE: Dim = (1, 1)


def require_onnx() -> Any:
    """The package ``onnx``."""
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise DependencyError(REMEDY) from error
    return onnx


class Tensor(NamedTuple):
    """An array in the graph, a node's output or a constant.

    ``dims`` has 1 where the array is the same along an axis, whatever its size there is in the program.
    """

    dims: Dims
    dtype: np.dtype[Any]
    name: str = ""
    value: np.ndarray | None = None


def stored_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype in the file: floats of all kinds are of 32 bits."""
    dtype = np.dtype(dtype)
    is_float = dtype.kind == "f" or dtype.name in ("bfloat16", "float16")
    return np.dtype(np.float32) if is_float else dtype


def constant(x: Any) -> Tensor:
    """A constant of the graph."""
    value = np.asarray(x)
    value = value.astype(stored_dtype(value.dtype))
    return Tensor(tuple((n, n) for n in value.shape), value.dtype, value=value)


def is_fixed(dims: Dims) -> bool:
    """Whether no size depends on the batch."""
    return all(a == b for a, b in dims)


class Graph:
    """The nodes and constants so far."""

    def __init__(self) -> None:
        self.onnx = require_onnx()
        self.nodes: list[Any] = []
        self._constants: dict[tuple[Any, ...], tuple[str, np.ndarray]] = {}
        self._sizes: dict[Dim, str] = {}
        self._batch_of = ""  # an input, whose first axis is the batch
        self._inputs: list[Any] = []

    def add_input(self, name: str, dims: Dims, dtype: Any) -> Tensor:
        """Declare an input ``[B, ...]``."""
        self._inputs.append(self.declare(name, dims, dtype))
        self._batch_of = self._batch_of or name
        return Tensor(dims, np.dtype(dtype), name)

    def declare(self, name: str, dims: Dims, dtype: Any) -> Any:
        """An input or output, by type and shape; the batch is called ``batch``."""
        helper = self.onnx.helper
        shape = [a if a == b else "batch" for a, b in dims]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    def node(
        self, operator: str, inputs: list[Tensor | np.ndarray], dims: Dims, dtype: Any, **attributes: Any
    ) -> Tensor:
        """Append a node with one output."""
        return self.nodes_outputs(operator, inputs, [dims], dtype, **attributes)[0]

    def nodes_outputs(
        self, operator: str, inputs: list[Tensor | np.ndarray], dims: list[Dims], dtype: Any, **attributes: Any
    ) -> list[Tensor]:
        """Append a node with an output for each of ``dims``."""
        names = [f"{operator.lower()}_{len(self.nodes)}{f'_{i}' if i else ''}" for i in range(len(dims))]
        self.add_node(operator, [self.name_of(x) for x in inputs], names, **attributes)
        return [Tensor(shape, stored_dtype(dtype), name) for shape, name in zip(dims, names)]

    def add_node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Append a node by names."""
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))

    def name_of(self, x: Tensor | np.ndarray) -> str:
        """The name of a tensor in the file; equal constants share one."""
        value = x if isinstance(x, np.ndarray) else x.value
        if value is None:
            assert isinstance(x, Tensor)
            return x.name
        key = value.dtype.str, value.shape, value.tobytes()
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}", value
        return self._constants[key][0]

    def whole(self, x: Tensor, dims: Dims) -> Tensor:
        """``x`` with all its elements."""
        if x.dims == dims:
            return x
        if x.value is not None and is_fixed(dims):
            return constant(np.broadcast_to(x.value, [n for n, _ in dims]))
        return self.expand(x, dims)

    def expand(self, x: Tensor, dims: Dims) -> Tensor:
        """``x`` broadcast by a node."""
        shape = self.shape(dims)
        name = f"expand_{len(self.nodes)}"
        self.add_node("Expand", [self.name_of(x), shape], [name])
        return Tensor(dims, x.dtype, name)

    def reshape(self, x: Tensor, dims: Dims) -> Tensor:
        """``x``, which is whole, in another shape."""
        if x.dims == dims:
            return x
        if x.value is not None and is_fixed(dims):
            return constant(x.value.reshape([n for n, _ in dims]))
        moving = [i for i, (a, b) in enumerate(dims) if a != b]
        shape = [a for a, _ in dims]
        if len(moving) == 1:
            shape[moving[0]] = -1
        target = self.name_of(np.array(shape, np.int64)) if len(moving) <= 1 else self.shape(dims)
        name = f"reshape_{len(self.nodes)}"
        self.add_node("Reshape", [self.name_of(x), target], [name])
        return Tensor(dims, x.dtype, name)

    def transpose(self, x: Tensor, order: list[int]) -> Tensor:
        """``x`` with its axes in another order."""
        if order == sorted(order):
            return x
        if x.value is not None:
            return constant(x.value.transpose(order))
        return self.node("Transpose", [x], tuple(x.dims[i] for i in order), x.dtype, perm=order)

    def cast(self, x: Tensor, dtype: Any) -> Tensor:
        """``x`` of another dtype."""
        dtype = stored_dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.value is not None:
            return constant(x.value.astype(dtype))
        return self.node("Cast", [x], x.dims, dtype, to=self.onnx.helper.np_dtype_to_tensor_dtype(dtype))

    def shape(self, dims: Dims) -> str:
        """The name of a shape, a vector of int64."""
        if is_fixed(dims):
            return self.name_of(np.array([n for n, _ in dims], np.int64))
        parts = [self._size(dim) for dim in dims]
        if len(parts) == 1:
            return parts[0]
        name = f"shape_{len(self.nodes)}"
        self.add_node("Concat", parts, [name], axis=0)
        return name

    def _size(self, dim: Dim) -> str:
        """The name of one size, as a vector of one element: ``factor * batch + rest``."""
        if dim[0] == dim[1]:
            return self.name_of(np.array([dim[0]], np.int64))
        if dim not in self._sizes:
            factor, remainder = divmod(dim[1] - dim[0], BATCHES[1] - BATCHES[0])
            rest = dim[0] - factor * BATCHES[0]
            if remainder:
                raise UsageError("an array's size is not a multiple of the batch size: it cannot be exported")
            name = f"batch_{len(self.nodes)}"
            self.add_node("Shape", [self._batch_of], [name], start=0, end=1)
            for operator, number, neutral in (("Mul", factor, 1), ("Add", rest, 0)):
                if number != neutral:
                    result = f"size_{len(self.nodes)}"
                    self.add_node(operator, [name, self.name_of(np.array([number], np.int64))], [result])
                    name = result
            self._sizes[dim] = name
        return self._sizes[dim]

    def model(self, outputs: list[tuple[str, Tensor, Dims, Any]]) -> Any:
        """The finished model; ``outputs``: (name, tensor, its dims when whole, dtype)."""
        helper, numpy_helper = self.onnx.helper, self.onnx.numpy_helper
        declared = []
        for name, tensor, dims, dtype in outputs:
            self.add_node("Identity", [self.name_of(self.whole(self.cast(tensor, dtype), dims))], [name])
            declared.append(self.declare(name, dims, dtype))
        arrays = [numpy_helper.from_array(np.ascontiguousarray(x), name) for name, x in self._constants.values()]
        graph = helper.make_graph(self.nodes, "policy", self._inputs, declared, arrays)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="proximax")
