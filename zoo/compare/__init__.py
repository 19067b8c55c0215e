"""Compare runs: their scores, tests of their differences, and a page of both.

    from zoo.compare import compare, html
    comparison = compare(["runs/"])
    Path("compare.html").write_text(html(comparison))

`runs` and `scores` read run folders, `labels` names configurations, `statistics` are pure functions, `comparison` makes
the numbers; `numbers` writes them as JSON, `charts` and `page` with its template as HTML.
"""

from zoo.compare.comparison import Comparison, compare
from zoo.compare.page import html

__all__ = ["Comparison", "compare", "html"]
