"""A trained policy as a file that runs without JAX: ONNX, or NumPy arrays.

Read ``contract`` (what goes in and comes out), ``exporter`` (makes, checks and writes a file), ``tracing`` (the policy
as a flat list of JAX's operations), ``translation`` (of these into ONNX's, by the rules in ``elementwise``, ``layout``
and ``products``, on a ``graph``), ``onnx_file``, ``numpy_file`` and its reader ``numpy_policy``, ``sessions`` (they run
a file), ``checking`` (against the agent, on ``observations``), ``reading`` (a file as an agent), ``zoo`` (policies that
come with proximax), ``browser`` (a policy as values for a page in the browser).
"""

from proximax.exporting.browser import onnx_text, weights_json, zoo_weights
from proximax.exporting.contract import Output
from proximax.exporting.exporter import CHECKED, Format, export_agent
from proximax.exporting.reading import SUFFIXES, ExportedAgent, is_exported, read_exported
from proximax.exporting.zoo import is_in_zoo, zoo_card, zoo_file, zoo_names, zoo_starts

__all__ = [
    "CHECKED",
    "SUFFIXES",
    "ExportedAgent",
    "Format",
    "Output",
    "export_agent",
    "is_exported",
    "is_in_zoo",
    "onnx_text",
    "read_exported",
    "weights_json",
    "zoo_card",
    "zoo_file",
    "zoo_names",
    "zoo_starts",
    "zoo_weights",
]
