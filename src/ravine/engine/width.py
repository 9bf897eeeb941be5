"""How many lanes: as many as keep the arrays of a step in the cache; in long sweeps, by the clock.

Wider lanes spread the cost of a step's operations over more trials, until the arrays no
longer fit the cache. Where it would cost little beside the sweep, the widths around the one
expected are compiled and timed too, and the choice is remembered for the program as long as
the process lives.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log2
from statistics import median
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.executable import executable
from ravine.engine.lane import Moving, begin, step
from ravine.engine.lanes import empty
from ravine.engine.trial import Abstract, Operands, Program, batch_at

_STEP_BYTES = {"cpu": 2**20}
"""What a step should compute at once: on a CPU what its cache holds."""
_STEP_BYTES_ELSEWHERE = 2**28
"""An accelerator has to have more to do than it takes to start a kernel."""
_FEWEST, _MOST = 8, 4096
_ROUNDS = 8
"""Lanes whose trials may end apart are filled so often at least: few are idle at the end."""
_SHARE = 0.05
"""The part of a sweep's time that looking for its width may take."""
_SECONDS = 0.03
"""How long a width is timed, at the least."""
_WORTH = 1.05
"""A wider set of lanes has to be faster by so much: narrow ones leave fewer idle at the end."""

_chosen: dict[Any, int] = {}


def best_width(
    program_at: Callable[[int], tuple[Program, Operands]],
    trials: int,
    device: jax.Device,
    sets: int,
) -> int:
    """The width at which lane-steps take least time, for ``sets`` sets of lanes side by side."""
    program, operands = program_at(1)
    share = -(-trials // sets)
    most = share if program.in_step else max(-(-share // _ROUNDS), min(share, _FEWEST))
    key = replace(program, lanes=1, room=1), Abstract.of(operands), device
    if key not in _chosen:
        lane_steps = share * (program.steps + 1)
        _chosen[key] = _search(program_at, most, lane_steps, device, sets)
    return min(_chosen[key], most)


def _search(
    program_at: Callable[[int], tuple[Program, Operands]],
    most: int,
    lane_steps: int,
    device: jax.Device,
    sets: int,
) -> int:
    def made(width: int) -> tuple[float, float]:
        """Seconds a lane-step, infinite if there is no room for so many, and to compile."""
        program, operands = program_at(width)
        compiled, seconds = executable(program, operands, device).get()
        if width > 1 and sets * memory(compiled) > free_memory(device):
            return np.inf, seconds
        beside = sets if device.platform == "cpu" else 1
        return _seconds_a_lane_step(compiled, program, operands, device, beside), seconds

    expected = _STEP_BYTES.get(device.platform, _STEP_BYTES_ELSEWHERE) / step_bytes(*program_at(1))
    width = min(int(np.clip(2 ** round(log2(expected)), _FEWEST, _MOST)), most)
    while np.isinf((found := made(width))[0]):
        width //= 2
    seconds, compiling = found
    times = {width: seconds}
    if 2 * compiling < _SHARE * seconds * lane_steps:
        others = (w for w in (width // 4, 4 * width) if 0 < w <= most)
        times |= {w: made(w)[0] for w in others}
    best = min(times)
    for width in sorted(times):
        if _WORTH * times[width] < times[best]:
            best = width
    return best


def step_bytes(program: Program, operands: Operands) -> int:
    """The bytes of all that is computed in one step of one lane."""

    def one_step(operands: Operands, id: jax.Array) -> Any:
        trial, motion = begin(program, operands, id)
        batch = batch_at(program, operands, trial, id)
        moving = Moving(motion.params, motion.state, motion.stop_state, id)
        return step(program, operands, batch, trial, moving, id, id)

    abstract = Abstract.of(operands).operands()
    closed = jax.make_jaxpr(one_step)(abstract, jax.ShapeDtypeStruct((), jnp.int32))
    return max(_bytes(closed.jaxpr), 1)


def _bytes(jaxpr: Any) -> int:
    total = 0
    for eqn in jaxpr.eqns:
        inner = [p for p in eqn.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        if inner:
            total += sum(_bytes(getattr(p, "jaxpr", p)) for p in inner)
        else:
            shapes = [v.aval for v in eqn.outvars if hasattr(v.aval, "dtype")]
            total += sum(a.size * getattr(a.dtype, "itemsize", 8) for a in shapes)
    return total


def memory(compiled: Any) -> int:
    """The bytes that a compiled program needs, 0 where it is not known."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)


def free_memory(device: jax.Device) -> float:
    """The bytes that are there for lanes; infinite where it is not known."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return 0.9 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    if (
        device.platform == "cpu"
        and hasattr(os, "sysconf")
        and "SC_AVPHYS_PAGES" in os.sysconf_names
    ):
        return 0.5 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return np.inf


def _seconds_a_lane_step(
    compiled: Any, program: Program, operands: Operands, device: jax.Device, beside: int
) -> float:
    """Time segments in which lanes are busy, without what a call and a beginning cost.

    So many sets of lanes run beside each other as will: they share cores and cache.
    """
    operands = jax.device_put(operands, device)

    def timed(segments: int) -> tuple[float, int]:
        carry = jax.device_put(empty(program, operands), device)
        carry = carry._replace(
            queue=np.arange(program.room, dtype=np.int32), end=np.int32(program.lanes)
        )

        def run(carry: Any) -> int:
            _, tally = compiled(operands, carry, np.int32(segments), np.bool_(False))
            return int(tally.executed)

        carries = [jax.tree.map(jnp.copy, carry) for _ in range(beside)]
        with ThreadPoolExecutor(beside) as pool:
            began = perf_counter()
            done, *_ = pool.map(run, carries)
            return perf_counter() - began, done

    timed(1)
    once, first = min(timed(1) for _ in range(3))
    times: list[float] = []
    for _ in range(3):
        seconds, done = timed(1 + max(1, int(_SECONDS / max(once, 1e-4))))
        times.append((seconds - once) / (done - first) if done > first else seconds / done)
    return max(median(times), 1e-9) / program.lanes


__all__ = ["best_width", "free_memory", "memory", "step_bytes"]
