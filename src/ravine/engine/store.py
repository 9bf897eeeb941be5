"""Saving results to one file and reading them back, without pickle.

A tree becomes a description in JSON, in which arrays stand under the names that they have
in the ``.npz`` file. What is no data (a function) is stored as its name and comes back as
a marker with that name.
"""

import importlib
import json
import os
from collections import namedtuple
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ravine.core.paths import leaf_paths
from ravine.core.rule import is_rule
from ravine.engine.status import Status

_FORMAT = 1


@dataclass(frozen=True)
class Opaque:
    """In place of something that a file cannot hold, such as a function."""

    text: str

    def __repr__(self) -> str:
        return self.text


def write(data: dict[str, Any], path: Any) -> None:
    """Write ``data`` to ``path`` (``.npz`` is added if it is not there), whole or not at all."""
    path = _npz(path)
    arrays: dict[str, np.ndarray] = {}
    described = {name: _encode(x, arrays) for name, x in data.items()}
    meta = json.dumps({"format": _FORMAT, "results": described})
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays, meta=np.array(meta))  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Any) -> dict[str, Any]:
    """Read what ``write`` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else, or from a newer version.
    """
    path = Path(path) if Path(path).exists() else _npz(path)
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                meta = json.loads(str(archive["meta"]))
                arrays = {name: archive[name] for name in archive.files}
            if meta["format"] <= _FORMAT:
                return {k: _decode(v, arrays) for k, v in meta["results"].items()}
        except Exception as error:
            raise ValueError(
                f"{path} is not a saved sweep: {error}. Possible causes: (a) another kind of file; "
                "(b) a copy that was cut short."
            ) from error
    raise ValueError(f"{path} was saved by a newer version of ravine: update, then load it.")


def _npz(path: Any) -> Path:
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _encode(x: Any, arrays: dict[str, np.ndarray]) -> Any:
    if x is None or (isinstance(x, bool | int | str) and not isinstance(x, Status)):
        return {"value": x}
    if isinstance(x, float):
        return {"float": repr(float(x))}  # JSON has no infinity
    if isinstance(x, np.dtype):
        return {"dtype": x.name}
    if isinstance(x, np.ndarray | np.generic | jax.Array):
        return _encode_array(x, arrays)
    if isinstance(x, dict):
        return {"dict": [[_encode(k, arrays), _encode(v, arrays)] for k, v in x.items()]}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        name = type(x).__name__
        return {"namedtuple": [name, list(x._fields), [_encode(v, arrays) for v in x]]}
    if isinstance(x, list | tuple):
        kind = "list" if isinstance(x, list) else "tuple"
        return {kind: [_encode(v, arrays) for v in x]}
    if is_rule(x) and type(x).__module__.startswith("ravine."):
        inside = {f.name: _encode(getattr(x, f.name), arrays) for f in fields(x)}
        return {"rule": [type(x).__module__, type(x).__qualname__, inside]}
    leaves = [] if is_rule(x) else jax.tree.leaves(x)
    if leaves and all(isinstance(leaf, np.ndarray | jax.Array) for leaf in leaves):
        return _encode(dict(zip(leaf_paths(x), leaves, strict=True)), arrays)
    return {"opaque": getattr(x, "__qualname__", None) or repr(x)}


def _encode_array(x: Any, arrays: dict[str, np.ndarray]) -> Any:
    name = f"array_{len(arrays)}"
    if isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        arrays[name] = np.asarray(jax.random.key_data(x))
        return {"key": name}
    described = {"array": name} | ({"scalar": True} if isinstance(x, np.generic) else {})
    x = np.asarray(x)
    if x.dtype == object:  # words: names and statuses
        arrays[name] = np.array([str(v) for v in x.ravel()] or [""])
        status = bool(x.size) and isinstance(x.ravel()[0], Status)
        return {"words": [name, list(x.shape), "status" if status else "str"]}
    if x.dtype.kind == "V":  # bfloat16 and its like, which .npz does not know
        arrays[name] = x.view(np.dtype(f"u{x.dtype.itemsize}"))
        return described | {"dtype": x.dtype.name}
    arrays[name] = x
    return described


def _decode(d: Any, arrays: dict[str, np.ndarray]) -> Any:
    (kind, x) = next(iter(d.items()))
    if kind == "value":
        return x
    if kind == "float":
        return float(x)
    if kind == "dtype":
        return jax.numpy.dtype(x)
    if kind == "array":
        array = arrays[x].view(jax.numpy.dtype(d["dtype"])) if "dtype" in d else arrays[x]
        return array[()] if "scalar" in d else array
    if kind == "key":
        return jax.random.wrap_key_data(jax.numpy.asarray(arrays[x]))
    if kind == "words":
        name, shape, what = x
        words = [Status(str(w)) if what == "status" else str(w) for w in arrays[name]]
        out = np.empty(int(np.prod(shape)), dtype=object)
        out[:] = words[: out.size]
        return out.reshape(shape)
    if kind == "dict":
        return {_decode(k, arrays): _decode(v, arrays) for k, v in x}
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](_decode(v, arrays) for v in x)
    if kind == "namedtuple":
        name, names, values = x
        return namedtuple(name, names)(*(_decode(v, arrays) for v in values))
    if kind == "rule":
        module, name, inside = x
        if not module.startswith("ravine."):
            raise ValueError(f"it names the foreign module {module!r}")
        cls = getattr(importlib.import_module(module), name)
        if not getattr(cls, "__is_rule__", False):
            raise ValueError(f"it takes {name} for an optimizer")
        rule = object.__new__(cls)
        rule.__dict__.update({k: _decode(v, arrays) for k, v in inside.items()})
        return rule
    return Opaque(x)
