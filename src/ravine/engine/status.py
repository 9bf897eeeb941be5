"""Why a trial ended."""

from enum import StrEnum


class Status(StrEnum):
    """Why a trial ended; ``str(status)`` is the word.

    In compiled code a status is the small integer ``status.code``.
    """

    RUNNING = "running"
    """Not ended: the sweep was interrupted first, or the trial never began."""
    CONVERGED = "converged"
    """A test that means convergence holds at the final parameters."""
    MAX_STEPS = "max_steps"
    """All steps were taken."""
    DIVERGED = "diverged"
    """The value became infinite or NaN, or rose above the limit."""
    PRUNED = "pruned"
    """Given up in favour of better trials."""
    FAILED = "failed"
    """It could not be run."""
    STALLED = "stalled"
    """No step that the optimizer knows of led lower: a minimum, as far as its digits can tell."""

    @property
    def code(self) -> int:
        """Its place in the list above, counted from 0."""
        return _CODES[self]

    @property
    def message(self) -> str:
        """What it says, in a sentence."""
        return _MESSAGES[self]


_CODES = {status: code for code, status in enumerate(Status)}
_MESSAGES = {
    Status.RUNNING: "It was interrupted.",
    Status.CONVERGED: "A stopping test that means convergence holds.",
    Status.MAX_STEPS: "All steps were taken.",
    Status.DIVERGED: "The value became infinite or NaN, or rose above the limit.",
    Status.PRUNED: "It was given up in favour of better trials.",
    Status.FAILED: "It could not be run.",
    Status.STALLED: "No step led lower, as far as rounding lets tell.",
}
STATUSES = tuple(Status)
"""Every status, by code."""
RANKED = frozenset({Status.CONVERGED, Status.MAX_STEPS, Status.PRUNED, Status.STALLED})
"""The statuses among which the best trial is looked for."""
