"""Runs beside each other: what was measured, whether a difference is more than chance, and a page that shows it.

    from zoo.compare import compare, html
    comparison = compare(["runs/"])
    Path("compare.html").write_text(html(comparison))

`runs` and `scores` read run folders, `statistics` are pure functions, `comparison` makes the numbers; `numbers` writes
them as JSON, and `tables`, `curves`, `charts`, `pictures` and `page` as HTML.
"""

from zoo.compare.comparison import Comparison, compare
from zoo.compare.page import html

__all__ = ["Comparison", "compare", "html"]
