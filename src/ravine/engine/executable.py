"""Compiling the lanes for a device, once for each program and shapes of operands."""

from collections import OrderedDict
from threading import Lock
from time import perf_counter
from typing import Any

import jax
import numpy as np

from ravine.engine.lanes import advance, empty
from ravine.engine.trial import Abstract, Operands, Program

_MOST = 128
_OPTIONS = {
    "cpu": {
        # Finds more buffers that a loop may reuse: about 10 % faster for small steps.
        "xla_cpu_copy_insertion_use_region_analysis": True,
        # Operations in an order that needs little memory, not in one that lets several run at a
        # time: up to 20 % faster for small steps. For other cores there are other workers.
        "xla_cpu_enable_concurrency_optimized_scheduler": False,
    },
}
_SETTINGS = (
    "jax_enable_x64", "jax_default_matmul_precision", "jax_debug_nans", "jax_debug_infs",
    "jax_numpy_dtype_promotion", "jax_default_prng_impl", "jax_threefry_partitionable",
    "jax_disable_jit",
)  # fmt: skip


# A batched call of LAPACK on CPU waits for threads of the pool in which it runs itself. Two of
# them, from two workers, can take all the threads, and wait for each other for ever.
_LAPACK = Lock()


class _OneAtATime:
    """A compiled function that holds LAPACK's lock until its results are there."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def __call__(self, *args: Any) -> Any:
        with _LAPACK:
            return jax.block_until_ready(self._compiled(*args))

    def memory_analysis(self) -> Any:
        return self._compiled.memory_analysis()


class Executable:
    """A compiled program for one device: lowered where it is asked for, compiled where it is used.

    Settings of JAX made by a context manager hold for one thread only, so the thread that
    knows them lowers; the rest of the work, most of it, can be done by any.
    """

    def __init__(self, program: Program, operands: Operands, device: jax.Device) -> None:
        carry = empty(program, operands)
        self._lowered: Any = advance.lower(
            program, jax.device_put(operands, device), carry, np.int32(1), np.bool_(False)
        )
        self._platform = device.platform
        self._compiled: Any = None
        self.pace = np.inf
        """Seconds that a segment took last; infinite before the first."""
        self._lock = Lock()

    def get(self) -> tuple[Any, float]:
        """The compiled function, and the seconds that it took to compile it just now."""
        began = perf_counter()
        with self._lock:
            if self._compiled is not None:
                return self._compiled, 0.0
            try:
                self._compiled = self._lowered.compile(_OPTIONS.get(self._platform))
            except ValueError as error:  # an option that this release does not know
                if "No such compile option" not in str(error):
                    raise
                self._compiled = self._lowered.compile()
            if self._platform == "cpu" and "@lapack_" in self._lowered.as_text():
                self._compiled = _OneAtATime(self._compiled)
            self._lowered = None
            return self._compiled, perf_counter() - began


_made: OrderedDict[Any, Executable] = OrderedDict()


def executable(program: Program, operands: Operands, device: jax.Device) -> Executable:
    """The executable for a program and operands of these shapes, from memory if it is there."""
    settings = tuple(getattr(jax.config, name, None) for name in _SETTINGS)
    key = (program, Abstract.of(operands), device, settings)
    found = _made.pop(key, None) or Executable(program, operands, device)
    _made[key] = found
    while len(_made) > _MOST:
        _made.popitem(last=False)
    return found
