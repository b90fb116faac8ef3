"""JAX's operations on shapes in ONNX: reshaping, joining, taking parts."""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax

from proximax.errors import UsageError
from proximax.exporting.elementwise import Rule
from proximax.exporting.graph import ONE, Graph, Tensor, constant, is_fixed
from proximax.exporting.tracing import Dim, Dims, Equation

END = np.iinfo(np.int64).max  # as the end of a slice: up to the end of the axis


def axes_vector(axes: list[int] | tuple[int, ...]) -> np.ndarray:
    """Axes or positions as ONNX takes them."""
    return np.array(axes, np.int64)


def whole_input(graph: Graph, equation: Equation, inputs: list[Tensor], at: int = 0) -> Tensor:
    """An input with all its elements."""
    return graph.whole(inputs[at], equation.inputs[at].dims)


def identity(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """What changes no values."""
    return inputs


def broadcast(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """New axes of one element each: what broadcasting would repeat stays as it is."""
    (x, *_), to = inputs, equation.params[0]["broadcast_dimensions"]
    dims = [ONE] * len(equation.outputs[0].dims)
    for dim, axis in zip(x.dims, to):
        dims[axis] = dim
    if x.value is not None:
        return [constant(x.value.reshape([n for n, _ in dims]))]
    new = [axis for axis in range(len(dims)) if axis not in to]
    return [graph.node("Unsqueeze", [x, axes_vector(new)], tuple(dims), x.dtype) if new else x]


def reshape(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Another shape of the same elements."""
    return [graph.reshape(whole_input(graph, equation, inputs), equation.outputs[0].dims)]


def squeeze(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Without axes of one element."""
    (x,), axes = inputs, [axis % len(inputs[0].dims) for axis in equation.params[0]["dimensions"]]
    dims = tuple(dim for axis, dim in enumerate(x.dims) if axis not in axes)
    if x.value is not None:
        return [constant(x.value.reshape([n for n, _ in dims]))]
    return [graph.node("Squeeze", [x, axes_vector(axes)], dims, x.dtype)]


def transpose(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Axes in another order."""
    return [graph.transpose(inputs[0], list(equation.params[0]["permutation"]))]


def concatenate(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Arrays one after the other."""
    parts = [whole_input(graph, equation, inputs, i) for i in range(len(inputs))]
    out = equation.outputs[0]
    axis = equation.params[0]["dimension"]
    return [graph.node("Concat", [*parts], out.dims, out.dtype, axis=axis) if len(parts) > 1 else parts[0]]


def stack(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Arrays along a new axis."""
    axis, out = equation.params[0]["axis"], equation.outputs[0]
    parts: list[Tensor] = []
    for i in range(len(inputs)):
        dims = list(equation.inputs[i].dims)
        dims.insert(axis, ONE)
        parts.append(graph.reshape(whole_input(graph, equation, inputs, i), tuple(dims)))
    return [graph.node("Concat", [*parts], out.dims, out.dtype, axis=axis)]


def split(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Parts along an axis."""
    sizes, axis = [int(n) for n in equation.params[0]["sizes"]], equation.params[0]["axis"]
    x = whole_input(graph, equation, inputs)
    if len(sizes) == 1:
        return [x]
    dims = [out.dims for out in equation.outputs]
    return graph.nodes_outputs("Split", [x, axes_vector(sizes)], dims, x.dtype, axis=axis)


def slice_(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Every so many elements from a first to a last, along each axis."""
    bounds = [zip(p["start_indices"], p["limit_indices"], p["strides"] or [1] * 99) for p in equation.params]
    (x,), logical = inputs, equation.inputs[0].dims
    axes: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    steps: list[int] = []
    dims = list(x.dims)
    for axis, (first, second) in enumerate(zip(*bounds)):
        is_all = (first, second) == tuple((0, n, 1) for n in logical[axis])
        if is_all or x.dims[axis] != logical[axis]:
            continue
        start, end, step = first
        to_end = end == logical[axis][0] and second[1] == logical[axis][1]
        if first[::2] != second[::2] or (end != second[1] and not to_end):
            raise UsageError("the network takes a part of its batch: only whole batches can be exported")
        axes.append(axis)
        starts.append(start)
        ends.append(END if to_end else end)
        steps.append(step)
        dims[axis] = equation.outputs[0].dims[axis]
    return [slice_node(graph, x, tuple(dims), axes, starts, ends, steps) if axes else x]


def slice_node(
    graph: Graph, x: Tensor, dims: Dims, axes: list[int], starts: list[int], ends: list[int], steps: list[int]
) -> Tensor:
    """ONNX's Slice."""
    arguments = [axes_vector(part) for part in (starts, ends, axes, steps)]
    return graph.node("Slice", [x, *arguments], dims, x.dtype)


def reverse(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Axes backwards."""
    (x,), axes = inputs, list(equation.params[0]["dimensions"])
    n = len(axes)
    return [slice_node(graph, x, x.dims, axes, [-1] * n, [-END] * n, [-1] * n)]


def pad(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """A constant around an array; less of it where the padding is negative."""
    padding = equation.params[0]["padding_config"]
    if padding != equation.params[1]["padding_config"] or any(inner for *_, inner in padding):
        raise UsageError("jax.lax.pad between elements, or by as many as the batch has, cannot be exported")
    x, value = whole_input(graph, equation, inputs), inputs[1]
    out = equation.outputs[0].dims
    cut = [axis for axis, (low, high, _) in enumerate(padding) if low < 0 or high < 0]
    if cut:
        starts, ends = [max(0, -padding[axis][0]) for axis in cut], [min(0, padding[axis][1]) or END for axis in cut]
        dims = list(x.dims)
        for axis, start, end in zip(cut, starts, ends):
            rest = 0 if end == END else end
            dims[axis] = (dims[axis][0] - start + rest, dims[axis][1] - start + rest)
        x = slice_node(graph, x, tuple(dims), cut, starts, ends, [1] * len(cut))
    amounts = [max(0, int(n)) for n in (*(low for low, *_ in padding), *(high for _, high, _ in padding))]
    return [graph.node("Pad", [x, axes_vector(amounts), value], out, x.dtype) if any(amounts) else x]


def iota(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """0, 1, 2, ... along an axis."""
    axis, out = equation.params[0]["dimension"], equation.outputs[0]
    if out.dims[axis][0] != out.dims[axis][1]:
        raise UsageError("the network numbers the rows of its batch, which cannot be exported")
    shape = [1] * len(out.dims)
    shape[axis] = out.dims[axis][0]
    return [constant(np.arange(shape[axis], dtype=out.dtype).reshape(shape))]


def dynamic_slice(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """A part whose place is constant."""
    x, *starts = inputs
    if any(start.value is None for start in starts):
        raise UsageError("jax.lax.dynamic_slice at a place that is computed cannot be exported: use jnp.take")
    places = [int(start.value) for start in starts if start.value is not None]
    params = []
    for i, p in enumerate(equation.params):
        sizes = p["slice_sizes"]
        shape = [dim[i] for dim in equation.inputs[0].dims]
        at = [min(max(place, 0), n - size) for place, n, size in zip(places, shape, sizes)]
        params.append({"start_indices": at, "limit_indices": [a + n for a, n in zip(at, sizes)], "strides": None})
    fixed = equation._replace(params=(params[0], params[1]), inputs=equation.inputs[:1])
    return slice_(graph, fixed, [x])


def gather(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Elements at constant places, or rows of a table at computed ones."""
    x, places = whole_input(graph, equation, inputs), inputs[1]
    numbers = equation.params[0]["dimension_numbers"]
    if places.value is not None and is_fixed(equation.inputs[1].dims):
        value = np.broadcast_to(places.value, [n for n, _ in equation.inputs[1].dims])
        return [gather_constant(graph, equation, x, value)]
    table = equation.inputs[0].dims
    sizes = tuple(n for axis, (n, _) in enumerate(table) if axis)
    is_table = numbers.start_index_map == numbers.collapsed_slice_dims == (0,) and not numbers.operand_batching_dims
    rank = len(equation.inputs[1].dims) - 1
    rows_last = numbers.offset_dims == tuple(range(rank, rank + len(sizes)))
    if not (is_table and rows_last and is_fixed(table) and tuple(equation.params[0]["slice_sizes"][1:]) == sizes):
        raise UsageError("indexing an array with computed indices, other than rows of a table, cannot be exported")
    index = graph.reshape(whole_input(graph, equation, inputs, 1), equation.inputs[1].dims[:-1])
    return [graph.node("Gather", [x, index], equation.outputs[0].dims, x.dtype, axis=0)]


def gather_constant(graph: Graph, equation: Equation, x: Tensor, places: np.ndarray) -> Tensor:
    """Elements at places that are the same in every row: by their numbers in a flattened row."""
    dims, out = equation.inputs[0].dims, equation.outputs[0].dims
    params, numbers = dict(equation.params[0]), equation.params[0]["dimension_numbers"]
    shape, sizes = [n for n, _ in dims], list(params["slice_sizes"])
    moving = [axis for axis, (a, b) in enumerate(dims) if a != b]
    whole_rows = not moving or (moving == [0] and sizes[0] == shape[0] and 0 not in numbers.collapsed_slice_dims)
    if not whole_rows or numbers.operand_batching_dims:
        raise UsageError("the network picks rows of its batch, which cannot be exported")
    batch: Dim = dims[0] if moving else ONE
    if moving:
        shape[0] = sizes[0] = 1
    else:
        shape, sizes = [1, *shape], sizes
    row = np.arange(math.prod(shape), dtype=np.int32).reshape(shape if moving else shape[1:])
    params["slice_sizes"] = tuple(sizes)
    numbers_in_row = np.asarray(lax.gather_p.bind(jnp.asarray(row), jnp.asarray(places), **params))
    axis = numbers.offset_dims[0] if moving else 0
    order = [axis, *(i for i in range(len(out)) if i != axis)] if moving else list(range(len(out)))
    flat = graph.reshape(x, (batch, (row.size, row.size)))
    index = numbers_in_row.transpose(order).reshape(-1).astype(np.int64)
    taken = graph.node("Gather", [flat, index], (batch, (index.size, index.size)), x.dtype, axis=1)
    ordered = graph.reshape(taken, tuple(out[i] for i in order))
    return graph.transpose(ordered, [int(i) for i in np.argsort(order)])


LAYOUT: dict[str, Rule] = {
    "broadcast_in_dim": broadcast,
    "concatenate": concatenate,
    "copy": identity,
    "copy_p": identity,
    "dynamic_slice": dynamic_slice,
    "gather": gather,
    "iota": iota,
    "name": identity,
    "optimization_barrier": identity,
    "pad": pad,
    "reduce_precision": identity,
    "reshape": reshape,
    "rev": reverse,
    "slice": slice_,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "stop_gradient": identity,
    "transpose": transpose,
}
