"""The measuring instrument: what a step, a start and a second rank cost. See README.md; the zoo imports none of it."""
