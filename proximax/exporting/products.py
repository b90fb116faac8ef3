"""JAX's products, convolutions, pooling and reductions in ONNX."""

import math
from typing import Any

import numpy as np

from proximax.errors import UsageError
from proximax.exporting.elementwise import Rule
from proximax.exporting.graph import Graph, Tensor
from proximax.exporting.layout import axes_vector, whole_input
from proximax.exporting.tracing import Dim, Dims, Equation

REDUCTIONS = {
    "reduce_and": "ReduceMin",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_or": "ReduceMax",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
}


def size(dims: Dims) -> Dim:
    """The number of elements in either trace."""
    return math.prod(a for a, _ in dims), math.prod(b for _, b in dims)


def reduction(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Sum, product, extremum over axes; of booleans as integers."""
    x, out = whole_input(graph, equation, inputs), equation.outputs[0]
    dtype = np.int32 if x.dtype == bool else x.dtype
    axes = axes_vector(equation.params[0]["axes"])
    result = graph.node(REDUCTIONS[equation.name], [graph.cast(x, dtype), axes], out.dims, dtype, keepdims=0)
    return [graph.cast(result, out.dtype)]


def arg_extremum(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """The index of the first of the largest, or smallest, elements."""
    x, out = whole_input(graph, equation, inputs), equation.outputs[0]
    x = graph.cast(x, np.int32) if x.dtype == bool else x
    operator = "ArgMax" if equation.name == "argmax" else "ArgMin"
    (axis,) = equation.params[0]["axes"]
    index = graph.node(operator, [x], out.dims, np.int64, axis=axis, keepdims=0, select_last_index=0)
    return [graph.cast(index, out.dtype)]


def cumulative_sum(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Sums of all elements up to each."""
    x, params = whole_input(graph, equation, inputs), equation.params[0]
    axis = np.array(params["axis"], np.int64)
    return [graph.node("CumSum", [x, axis], x.dims, x.dtype, reverse=int(params["reverse"]))]


def dot(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """A matrix product ``[batch, free, contracted] @ [batch, contracted, free]``; plain where it is plain."""
    (contract, batch), out = equation.params[0]["dimension_numbers"], equation.outputs[0]
    left, right = (whole_input(graph, equation, inputs, i) for i in (0, 1))
    free = [
        [axis for axis in range(len(x.dims)) if axis not in (*contract[i], *batch[i])]
        for i, x in enumerate((left, right))
    ]
    left = graph.transpose(left, [*batch[0], *free[0], *contract[0]])
    right = graph.transpose(right, [*batch[1], *contract[1], *free[1]])
    shared = left.dims[: len(batch[0])]
    rows = left.dims[len(shared) : len(shared) + len(free[0])]
    inner = left.dims[len(shared) + len(free[0]) :]
    columns = right.dims[len(shared) + len(inner) :]
    if len(inner) == len(columns) == 1 and (len(rows) == 1 or not shared):
        return [graph.node("MatMul", [left, right], out.dims, out.dtype)]  # ONNX's takes any number of row axes
    middle = (size(inner),)
    product = graph.node(
        "MatMul",
        [
            graph.reshape(left, (*shared, size(rows), *middle)),
            graph.reshape(right, (*shared, *middle, size(columns))),
        ],
        (*shared, size(rows), size(columns)),
        out.dtype,
    )
    return [graph.reshape(product, out.dims)]


def convolution(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """ONNX's Conv, with channels before pixels."""
    params, out = equation.params[0], equation.outputs[0]
    if params["batch_group_count"] != 1 or any(n != 1 for n in params["lhs_dilation"]):
        raise UsageError("a transposed convolution, or one of batch groups, cannot be exported")
    if any(n < 0 for pair in params["padding"] for n in pair):
        raise UsageError("a convolution with negative padding cannot be exported")
    numbers = params["dimension_numbers"]
    x = graph.transpose(whole_input(graph, equation, inputs), list(numbers.lhs_spec))
    kernel = graph.transpose(whole_input(graph, equation, inputs, 1), list(numbers.rhs_spec))
    y = graph.node(
        "Conv",
        [x, kernel],
        tuple(out.dims[axis] for axis in numbers.out_spec),
        out.dtype,
        strides=[int(n) for n in params["window_strides"]],
        pads=[int(low) for low, _ in params["padding"]] + [int(high) for _, high in params["padding"]],
        dilations=[int(n) for n in params["rhs_dilation"]],
        group=int(params["feature_group_count"]),
    )
    return [graph.transpose(y, [int(axis) for axis in np.argsort(numbers.out_spec)])]


def pooling(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """The largest element, or the sum, of each window of pixels."""
    params, out, x = equation.params[0], equation.outputs[0], whole_input(graph, equation, inputs)
    window, dilations = params["window_dimensions"], [int(n) for n in params["window_dilation"]]
    pixels = [axis for axis in range(1, len(window)) if window[axis] != 1 or params["window_strides"][axis] != 1]
    others = [axis for axis in range(len(window)) if axis not in pixels]
    if len(others) != 2 or others[0] != 0 or any(n != 1 for n in params["base_dilation"]):
        raise UsageError("pooling can be exported over the height and width of [B, H, W, C] or [B, C, H, W]")
    order, padding = [*others, *pixels], params["padding"]
    attributes: dict[str, Any] = {
        "kernel_shape": [int(window[axis]) for axis in pixels],
        "strides": [int(params["window_strides"][axis]) for axis in pixels],
        "pads": [int(padding[axis][side]) for side in (0, 1) for axis in pixels],
    }
    dims = tuple(out.dims[axis] for axis in order)
    transposed = graph.transpose(x, order)
    if equation.name == "reduce_window_max":
        attributes["dilations"] = [dilations[axis] for axis in pixels]
        y = graph.node("MaxPool", [transposed], dims, out.dtype, **attributes)
    else:
        if any(n != 1 for n in dilations):
            raise UsageError("sums over windows with gaps cannot be exported")
        mean = graph.node("AveragePool", [transposed], dims, out.dtype, count_include_pad=1, **attributes)
        y = graph.node("Mul", [mean, np.array(math.prod(window), np.float32)], dims, out.dtype)
    return [graph.transpose(y, [int(axis) for axis in np.argsort(order)])]


PRODUCTS: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, reduction),
    "argmax": arg_extremum,
    "argmin": arg_extremum,
    "conv_general_dilated": convolution,
    "cumsum": cumulative_sum,
    "dot_general": dot,
    "reduce_window_max": pooling,
    "reduce_window_sum": pooling,
}
