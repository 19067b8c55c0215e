"""What `python -m zoo` can do: a module a command, found by its name.

The module's docstring is the command's help; `arguments(parser)` declares what it takes and `run(chosen)` does it. A
module that sets `TAKES_MORE` finds the words that its parser does not know in `chosen.rest`.
"""
