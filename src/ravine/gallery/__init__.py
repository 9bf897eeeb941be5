"""The classical chapter on optimization, from real runs: ``ravine gallery``.

One module a picture. Its ``picture(quick)`` runs the engine and returns a figure with the
facts that prove it right; its docstring says what one sees, and why.
"""
