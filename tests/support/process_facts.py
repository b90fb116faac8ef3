"""Facts of one of several processes that train together."""

from proximax.distributed.facts import Facts


def facts(**other):
    """Those of one process; ``other``: what differs."""
    same = {"versions": {"jax": "1", "numpy": "2"}, "settings": "ab", "flags": "", "features": ["avx", "sse"]}
    return Facts(**{**same, "machine": "head 1", "cores": [0, 1], **other})
