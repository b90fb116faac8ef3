"""Runs as one HTML file.

Read ``writing`` (``report``: the sections, the files beside the page), ``contents`` (what is read of the runs),
``results`` and ``background`` (the sections), ``playing`` (policies that play), ``pictures`` and ``inline_figures``
(figures that follow light and dark), ``markup`` (escaping, the page and its policy).
"""

from proximax.reports.page.writing import report

__all__ = ["report"]
