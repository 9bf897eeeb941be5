"""Handwritten digits: a real data set, small enough to train thousands of networks on."""

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import as_key
from ravine.problems.problem import Problem

Batch = tuple[jax.Array, jax.Array]

PIXELS, CLASSES = 64, 10
TRAIN, VALIDATION = 1078, 359  # of 1797; the other 360 are the test set


def digits(model: str = "mlp", hidden: Sequence[int] = (32, 32), seed: int = 0) -> Problem:
    r"""Classify 1797 images of 8 x 8 pixels, scikit-learn's digits, with a small network.

    .. math::
        f(\theta) = -\tfrac1n \sum_i \log \operatorname{softmax}(s_\theta(x_i))_{y_i}

    Pixels are scaled to [0, 1]. The classes are shared out evenly over 1078 images to train
    on (``data``), 359 for validation and 360 for the test. ``init`` draws He's normal kernels
    and zero biases from a key: ``{"dense_0": {"kernel", "bias"}, ...}``.

    Args:
        model: ``"mlp"``, layers with ReLU between them, or ``"softmax"``, a single linear layer.
        hidden: the widths of the hidden layers of the MLP.
        seed: which split into training, validation and test images; at least 0.

    Raises:
        ImportError: if scikit-learn is not installed.
        ValueError: if the model is neither of the two, or a width is no int of at least 1.

    Reference: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998; K. He et al., Delving deep into rectifiers, 2015,
    https://arxiv.org/abs/1502.01852.

    >>> problem = digits()
    >>> problem.examples, sorted(problem.metrics)
    (1078, ['test_accuracy', 'validation_accuracy', 'validation_loss'])
    """
    if model not in ("mlp", "softmax"):
        raise ValueError(f"digits: model must be 'mlp' or 'softmax', got {model!r}.")
    if any(type(width) is not int or width < 1 for width in hidden):
        raise ValueError(f"digits: hidden must be widths, ints of at least 1; got {hidden!r}.")
    widths = (PIXELS, *(hidden if model == "mlp" else ()), CLASSES)
    images, labels = _load()
    train, validation, test = (
        (jnp.asarray(images[rows], float), jnp.asarray(labels[rows], jnp.int32))
        for rows in split(labels, seed)
    )
    return Problem(
        cross_entropy,
        _initializer(widths),
        name="digits" if model == "mlp" else "digits_softmax",
        data=train,
        batch_size=128,
        metrics={
            "validation_loss": partial(cross_entropy, batch=validation),
            "validation_accuracy": partial(accuracy, batch=validation),
            "test_accuracy": partial(accuracy, batch=test),
        },
        citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI "
        "Machine Learning Repository, 1998.",
        description=f"A {'-'.join(map(str, widths))} network on 8 x 8 images of digits.",
    )


def logits(params: dict[str, Any], x: jax.Array) -> jax.Array:
    """The scores of the classes, a row an image: ReLU layers, the last one linear."""
    last = len(params) - 1
    for i in range(last + 1):
        layer = params[f"dense_{i}"]
        x = x @ layer["kernel"]
        x = x + jnp.broadcast_to(layer["bias"], x.shape)
        x = x if i == last else jax.nn.relu(x)
    return x


def cross_entropy(params: dict[str, Any], batch: Batch) -> jax.Array:
    """The mean of minus the log-probability of the right class."""
    x, y = batch
    log_p = jax.nn.log_softmax(logits(params, x))
    # A product, not a gather: its derivative needs no scatter, and many lanes run 3 % faster.
    return -jnp.mean(jnp.sum(log_p * jax.nn.one_hot(y, CLASSES, dtype=log_p.dtype), axis=-1))


def accuracy(params: dict[str, Any], batch: Batch) -> jax.Array:
    """The share of images whose highest score is the right one; NaN and infinity are wrong."""
    x, y = batch
    scores = logits(params, x)
    right = jnp.argmax(scores, axis=-1).astype(y.dtype) == y
    return jnp.mean((right & jnp.all(jnp.isfinite(scores), axis=-1)).astype(scores.dtype))


def split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows to train on, to validate on and to test on, every class shared out evenly."""
    rng = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        # The k-th of m members stands at (k + 1/2) / m: a cut anywhere divides all classes alike.
        rank[rng.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
    order = np.argsort(rank, kind="stable")
    parts = np.split(order, [TRAIN, TRAIN + VALIDATION])
    return tuple(rng.permutation(part) for part in parts)  # type: ignore[return-value]


def draw_layers(key: Any, widths: tuple[int, ...]) -> dict[str, Any]:
    """Random layers: normal kernels of variance 2 / fan_in, which ReLU preserves; zero biases."""
    layers = list(pairwise(widths))
    ends = np.cumsum([fan_in * fan_out for fan_in, fan_out in layers])
    # One draw for all kernels: each further one would cost a second of compilation.
    normal = jnp.split(jax.random.normal(as_key(key), (int(ends[-1]),), float), ends[:-1])
    return {
        f"dense_{i}": {
            "kernel": (2 / fan_in) ** 0.5 * normal[i].reshape(fan_in, fan_out),
            "bias": jnp.zeros(fan_out, float),
        }
        for i, (fan_in, fan_out) in enumerate(layers)
    }


@cache  # the same widths give the same function, so that a program compiles once
def _initializer(widths: tuple[int, ...]) -> Callable[..., Any]:
    return partial(draw_layers, widths=widths)


def _load() -> tuple[np.ndarray, np.ndarray]:
    """The images as rows of 64 numbers in [0, 1], and their labels."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ImportError(
            "digits reads its images from scikit-learn, which is not installed. Install it with: "
            'pip install "ravine[demo]".'
        )
    # Reading the file takes milliseconds, importing scikit-learn around it seconds.
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        table = np.loadtxt(file, delimiter=",")
        images, labels = table[:, :-1], table[:, -1].astype(int)
    else:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    return images / 16, labels
