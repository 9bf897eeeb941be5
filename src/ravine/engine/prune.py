"""Giving up on trials that fall behind, while they run.

At the end of a segment a pruner looks at the lanes that have come to one of its rungs, and
says which of them to stop. What it knows is what earlier trials scored at the same rung.
The score is the metric if the sweep has one, else the mean loss of the last segment; lower
is better, and what is not finite is worst. Each worker judges by the trials that it has run.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.rule import rule
from ravine.core.types import Static
from ravine.engine.status import Status

_MEMORY = 1024
"""How many scores are remembered at a rung; the oldest make room."""


class Rungs(NamedTuple):
    """The scores seen so far; axis letters: S brackets, G rungs, M scores."""

    scores: jax.Array  # (S, G, M) float, NaN where there is none
    seen: jax.Array  # (S, G) int32


class Judge:
    """What looks at the lanes at the end of a segment, and steps in."""

    interval: int
    """It steps in at multiples of so many steps only."""
    together: ClassVar[bool] = False
    """Whether all lanes have to begin together."""

    def init(self, steps: int) -> Any:
        """Return what it knows before the first segment."""
        return ()

    def apply(
        self, program: Any, operands: Any, known: Any, trial: Any, motion: Any, score: jax.Array
    ) -> tuple[Any, Any, Any]:
        """Return what it knows now, and the lanes as they go on."""
        raise NotImplementedError


class Pruner(Judge):
    """Which trials to give up. Its rungs lie at steps, the same for all trials of a bracket."""

    def rungs(self, steps: int) -> tuple[tuple[int, ...], ...]:
        """For each bracket the steps at which its trials are judged, below ``steps``."""
        raise NotImplementedError

    def passes(self, better: jax.Array, count: jax.Array) -> jax.Array:
        """Whether a trial goes on that is beaten by ``better`` of ``count``, itself counted."""
        raise NotImplementedError

    def init(self, steps: int) -> Rungs:
        """No score at any rung."""
        brackets = self.rungs(steps)
        shape = (len(brackets), max(map(len, brackets), default=0))
        scores = jnp.full((*shape, _MEMORY), jnp.nan, float)
        return Rungs(scores, jnp.zeros(shape, jnp.int32))

    def apply(
        self, program: Any, operands: Any, known: Any, trial: Any, motion: Any, score: jax.Array
    ) -> tuple[Any, Any, Any]:
        alive = motion.status == Status.RUNNING.code
        known, cut = self.judge(known, program.steps, trial.id, motion.step, score, alive)
        status = jnp.where(cut, jnp.int8(Status.PRUNED.code), motion.status)
        return known, trial, motion._replace(status=status)

    def judge(
        self, rungs: Rungs, steps: int, ids: jax.Array, step: jax.Array, score: jax.Array,
        alive: jax.Array,
    ) -> tuple[Rungs, jax.Array]:  # fmt: skip
        """Enter the scores of the lanes that stand at a rung; say which of them to give up."""
        brackets = self.rungs(steps)
        longest = max(map(len, brackets), default=0)
        if not longest:
            return rungs, jnp.zeros_like(alive)
        padded = [[*b, *[-1] * (longest - len(b))] for b in brackets]
        # Spread by a hash: counted through, brackets would keep time with seeds and grids.
        spread = (ids.astype(jnp.uint32) * jnp.uint32(0x9E3779B1)) >> jnp.uint32(16)
        bracket = (spread % jnp.uint32(len(brackets))).astype(jnp.int32)
        here = jnp.asarray(np.asarray(padded, np.int32))[bracket] == step[:, None]
        due = alive & jnp.any(here, axis=1)
        rung = jnp.argmax(here, axis=1).astype(jnp.int32)
        score = jnp.where(jnp.isfinite(score), score, jnp.inf)

        def entered(rungs: Rungs) -> tuple[Rungs, jax.Array]:
            same = (bracket[:, None] == bracket[None]) & (rung[:, None] == rung[None]) & due[None]
            before = jnp.sum(jnp.tril(same, -1), axis=1, dtype=jnp.int32)
            slot = (rungs.seen[bracket, rung] + before) % _MEMORY
            slot = jnp.where(due, slot, _MEMORY)
            scores = rungs.scores.at[bracket, rung, slot].set(score, mode="drop")
            seen = rungs.seen.at[bracket, rung].add(due.astype(jnp.int32))
            others = scores[bracket, rung]
            better = jnp.sum(others < score[:, None], axis=1, dtype=jnp.int32)
            count = jnp.minimum(seen[bracket, rung], _MEMORY)
            return Rungs(scores, seen), due & ~self.passes(better, count)

        return jax.lax.cond(jnp.any(due), entered, lambda r: (r, jnp.zeros_like(due)), rungs)


@rule
class SuccessiveHalving(Pruner):
    r"""Of the trials that come to a rung, the best one in ``eta`` goes on to the next.

    Rungs lie at :math:`\text{min\_steps}\cdot\text{eta}^k` steps. Trials do not wait for each
    other: each is judged by those that were there before it, or came with it.

    Args:
        eta: one in how many goes on; at least 2.
        min_steps: the steps that every trial gets; at least 1.

    Reference: L. Li et al., A system for massively parallel hyperparameter tuning, 2020,
    https://arxiv.org/abs/1810.05934.

    >>> SuccessiveHalving(eta=3, min_steps=100).rungs(2_000)
    ((100, 300, 900),)
    """

    eta: Static[int] = 3
    min_steps: Static[int] = 1

    def __post_init__(self) -> None:
        _at_least(self, "eta", self.eta, 2)
        _at_least(self, "min_steps", self.min_steps, 1)

    @property
    def interval(self) -> int:  # type: ignore[override]
        return self.min_steps

    def rungs(self, steps: int) -> tuple[tuple[int, ...], ...]:
        found = [self.min_steps]
        while found[-1] < steps:
            found.append(found[-1] * self.eta)
        return (tuple(found[:-1]),)

    def passes(self, better: jax.Array, count: jax.Array) -> jax.Array:
        return better < jnp.maximum(count // self.eta, 1)


@rule
class Hyperband(SuccessiveHalving):
    r"""Successive halving in several brackets, the later ones more patient.

    The trials are spread over the brackets; the first rung of bracket ``s`` lies at
    :math:`\text{min\_steps}\cdot\text{eta}^s` steps, and in the last bracket no trial is given
    up. So it also does well where early scores mislead.

    Reference: L. Li et al., Hyperband, 2018, https://arxiv.org/abs/1603.06560.

    >>> Hyperband(eta=3, min_steps=100).rungs(2_000)
    ((100, 300, 900), (300, 900), (900,), ())
    """

    eta: Static[int] = 3
    min_steps: Static[int] = 1

    def rungs(self, steps: int) -> tuple[tuple[int, ...], ...]:
        (first,) = super().rungs(steps)
        return tuple(first[i:] for i in range(len(first) + 1))


@rule
class MedianPruning(Pruner):
    """Every so many steps, the worse half of those that came so far is given up.

    Args:
        every: steps between two rungs; at least 1.
        min_steps: no trial is given up before so many steps, a multiple of ``every``.
        min_trials: nor while fewer trials have come to a rung.

    Reference: D. Golovin et al., Google Vizier, 2017, section 3.2.

    >>> MedianPruning(every=50, min_steps=100).rungs(300)
    ((100, 150, 200, 250),)
    """

    every: Static[int] = 1
    min_steps: Static[int] = 0
    min_trials: Static[int] = 5

    def __post_init__(self) -> None:
        _at_least(self, "every", self.every, 1)
        _at_least(self, "min_steps", self.min_steps, 0)
        _at_least(self, "min_trials", self.min_trials, 1)
        if self.min_steps % self.every:
            raise ValueError(
                f"MedianPruning: min_steps must be a multiple of every={self.every}, got "
                f"{self.min_steps}."
            )

    @property
    def interval(self) -> int:  # type: ignore[override]
        return self.every

    def rungs(self, steps: int) -> tuple[tuple[int, ...], ...]:
        return (tuple(range(max(self.min_steps, self.every), steps, self.every)),)

    def passes(self, better: jax.Array, count: jax.Array) -> jax.Array:
        return (2 * better <= count) | (count < self.min_trials)


def _at_least(owner: Any, name: str, n: Any, least: int) -> None:
    if type(n) is not int or n < least:
        raise ValueError(
            f"{type(owner).__name__}: {name} must be an int of at least {least}, got {n!r}."
        )


__all__ = ["Hyperband", "Judge", "MedianPruning", "Pruner", "SuccessiveHalving"]
