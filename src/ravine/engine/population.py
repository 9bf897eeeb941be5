"""Population-based training: the worst of the lanes go on from where the best are.

All lanes of a worker begin together and are one population. Every so many steps the worst
take over parameters and optimizer state of some of the best, and their hyperparameters
too, changed a little. What comes out is a schedule that no lane had to know in advance.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import Static
from ravine.engine.lane import RUNNING, Motion
from ravine.engine.prune import Judge
from ravine.engine.trial import Operands, Program, Trial
from ravine.spaces.distributions import Choice, Distribution
from ravine.spaces.sampling import spaces


@rule
class PopulationBasedTraining(Judge):
    r"""Every so many steps the worst lanes copy the best ones and change their numbers a little.

    Of :math:`n` lanes that are still running, the worst :math:`\lfloor q n\rfloor` each take
    parameters, optimizer state and hyperparameters of one of the best
    :math:`\lfloor q n\rfloor`, drawn at random. Every number that a random space drew is then
    multiplied or divided by ``factor``, and stays within the space's bounds; the points of
    grids and of ``Choice`` are copied as they are. Reported are the numbers at the end.

    The trials of one set of lanes depend on each other, and begin together: give as many
    ``trials`` as ``lanes`` times ``workers``.

    Args:
        every: steps between two exchanges; at least 1.
        quantile: the share q that is replaced; above 0 and at most 0.5.
        factor: by how much a number changes; above 1.

    Reference: M. Jaderberg et al., Population based training of neural networks, 2017,
    https://arxiv.org/abs/1711.09846.

    >>> PopulationBasedTraining(every=100)
    PopulationBasedTraining(every=100, quantile=0.25, factor=1.2)
    """

    every: Static[int]
    quantile: Static[float] = 0.25
    factor: Static[float] = 1.2

    together = True

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(
                f"PopulationBasedTraining: every must be at least 1, got {self.every}."
            )
        if not 0 < self.quantile <= 0.5:
            raise ValueError(
                f"PopulationBasedTraining: quantile must lie above 0 and be at most 0.5, got "
                f"{self.quantile}."
            )
        if not 1 < self.factor < float("inf"):
            raise ValueError(f"PopulationBasedTraining: factor must be above 1, got {self.factor}.")

    @property
    def interval(self) -> int:  # type: ignore[override]
        return self.every

    def apply(
        self, program: Program, operands: Operands, known: Any, trial: Trial, motion: Motion,
        score: jax.Array,
    ) -> tuple[Any, Trial, Motion]:  # fmt: skip
        alive = motion.status == RUNNING
        now = jnp.max(jnp.where(alive, motion.step, 0))
        due = jnp.any(alive) & (now % self.every == 0) & (now < program.steps)

        def exchanged(trial: Trial, motion: Motion) -> tuple[Trial, Motion]:
            key = jax.random.fold_in(jax.random.fold_in(operands.key, 4), now)
            pick, change = jax.random.split(jax.random.fold_in(key, trial.id[0]))
            source, copies = self._sources(pick, alive, score)
            put = jax.tree.map(
                lambda x: x[source], (motion.params, motion.state, motion.stop_state)
            )
            numbers = self._changed(operands, change, trial.numbers, source, copies)
            motion = motion._replace(params=put[0], state=put[1], stop_state=put[2])
            return trial._replace(numbers=numbers), motion

        trial, motion = jax.lax.cond(due, exchanged, lambda *x: x, trial, motion)
        return known, trial, motion

    def _sources(
        self, key: jax.Array, alive: jax.Array, score: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """From which lane each lane goes on, and whether that is another one."""
        lanes = jnp.arange(alive.shape[0], dtype=jnp.int32)
        score = jnp.where(alive & jnp.isfinite(score), score, jnp.inf)
        # The lanes that run come first, the best of them foremost; ties go by the lane.
        order = jnp.lexsort((lanes, score, ~alive)).astype(jnp.int32)
        rank = jnp.zeros_like(order).at[order].set(lanes)
        count = jnp.sum(alive, dtype=jnp.int32)
        moved = (count.astype(score.dtype) * self.quantile).astype(jnp.int32)
        copies = alive & (rank >= count - moved)
        best = jax.random.randint(key, lanes.shape, 0, jnp.maximum(moved, 1), jnp.int32)
        return jnp.where(copies, order[best], lanes), copies

    def _changed(
        self, operands: Operands, key: jax.Array, numbers: Any, source: jax.Array, copies: jax.Array
    ) -> tuple[jax.Array, ...]:
        """The numbers that the lanes go on with."""
        made = []
        for i, (space, old) in enumerate(
            zip(spaces(operands.template).values(), numbers, strict=True)
        ):
            new = old[source]
            if isinstance(space, Distribution) and not isinstance(space, Choice):
                up = jax.random.bernoulli(jax.random.fold_in(key, i), shape=source.shape)
                wide = new.astype(jnp.result_type(float))
                wide = jnp.where(up, wide * self.factor, wide / self.factor)
                if jnp.issubdtype(new.dtype, jnp.integer):
                    wide = jnp.round(wide)
                low, high = (jnp.asarray(x).astype(new.dtype) for x in space.bounds())
                new = jnp.where(copies, jnp.clip(wide.astype(new.dtype), low, high), new)
            made.append(new)
        return tuple(made)


__all__ = ["PopulationBasedTraining"]
