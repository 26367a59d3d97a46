"""What ``compile`` was given, matched with the model's outputs: losses and metrics by output."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpukeras import tree
from gpukeras.tensor import Tensor


class CompiledLoss:
    """The loss of a model: one function per output, weighted and summed.

    Parameters
    ----------
    loss : str, Loss, callable, or list/dictionary of them by output
    weights : list or dictionary of float, optional
    output_names : list of str, optional
        Names of the outputs, in the order of their leaves.
    """

    def __init__(self, loss, weights=None, output_names=None):
        self.given = loss
        self.weights_given = weights
        self.output_names = output_names
        self._parts: list | None = None  # (function or None, weight, name) per output
        self.trackers: list = []

    def build(self, y_true, y_pred) -> list:
        """Match losses and weights with the leaves of ``y_pred``; return what was found for each."""
        count = len(tree.flatten(y_pred))
        names = self._names(y_pred, count)
        functions = _by_output(self.given, y_pred, names, "loss")
        weights = _by_output(self.weights_given, y_pred, names, "loss_weights", default=1.0)
        if len(functions) == 1 and count > 1:
            functions = functions * count
        if len(weights) == 1 and count > 1:
            weights = weights * count
        self._parts = [(_as_loss(f), w, n) for f, w, n in zip(functions, weights, names, strict=True)]
        if count > 1:
            from gpukeras.metrics import Mean

            several = sum(f is not None for f, _, _ in self._parts) > 1  # that of the only one is the loss
            self.trackers = [
                Mean(name=f"{n}_loss") if several and f is not None else None for f, _, n in self._parts]
        return self._parts

    def _names(self, y_pred, count) -> list[str]:
        if self.output_names is not None and len(self.output_names) == count:
            return self.output_names
        if isinstance(y_pred, Mapping):
            return sorted(y_pred)
        return [f"output_{i + 1}" for i in range(count)] if count > 1 else ["output"]

    @property
    def metrics(self) -> list:
        """Trackers of each output's own loss, where there are several outputs."""
        return [t for t in self.trackers if t is not None]

    def __call__(self, y_true, y_pred, sample_weight=None, regularization_losses=None):
        """Return the weighted sum of the losses of all outputs, or ``None`` where no output has one."""
        parts = self._parts
        if parts is None:
            parts = self.build(y_true, y_pred)
        if len(parts) == 1:
            function, weight, _ = parts[0]
            if function is None:
                return None
            total = function(
                y_true if type(y_true) is Tensor else _only(y_true),
                y_pred if type(y_pred) is Tensor else _only(y_pred),
                None if sample_weight is None else _only(sample_weight),
            )
            total = total if weight is None or weight == 1.0 else total * weight
        else:
            total = self._sum(parts, y_true, y_pred, sample_weight)
        for extra in regularization_losses or ():
            total = total + extra
        return total

    def _sum(self, parts, y_true, y_pred, sample_weight):
        preds = tree.flatten(y_pred)
        names = [name for *_, name in parts]
        targets = _align(y_true, y_pred, names, "targets")
        weights = _align(sample_weight, y_pred, names, "sample_weight")
        total = None
        for (function, weight, name), target, pred, sw, tracker in zip(
            parts, targets, preds, weights, self.trackers
        ):
            if function is None:
                continue
            if target is None:
                raise ValueError(f"output {name!r} has a loss but no targets were given for it")
            value = function(target, pred, sw)
            if tracker is not None:
                tracker.update_state(Tensor(value.array), sample_weight=pred.shape[0] if pred.shape else 1)
            value = value if weight is None or weight == 1.0 else value * weight
            total = value if total is None else total + value
        return total


class CompiledMetrics:
    """The metrics of a model, by output; those given as strings are chosen by the shapes of the first batch.

    Parameters
    ----------
    metrics, weighted_metrics : list, or list/dictionary of lists by output
    output_names : list of str, optional
    """

    def __init__(self, metrics, weighted_metrics, output_names=None):
        self.given = metrics
        self.weighted_given = weighted_metrics
        self.output_names = output_names
        self._parts: list | None = None  # per output: (unweighted metrics, weighted metrics)
        self._names: list[str] = []

    def build(self, y_true, y_pred) -> list:
        """Make the metric objects for the shapes of ``y_true`` and ``y_pred``; return them by output."""
        preds = tree.flatten(y_pred)
        names = self.output_names
        if names is None or len(names) != len(preds):
            names = sorted(y_pred) if isinstance(y_pred, Mapping) else [
                f"output_{i + 1}" for i in range(len(preds))]
        self._names = names
        targets = _align(y_true, y_pred, names, "targets")
        plain = _lists_by_output(self.given, names, "metrics")
        weighted = _lists_by_output(self.weighted_given, names, "weighted_metrics")
        self._parts = []
        for target, pred, one, two, name in zip(targets, preds, plain, weighted, names, strict=True):
            prefix = f"{name}_" if len(preds) > 1 else ""
            unweighted = [_as_metric(m, target, pred, prefix) for m in one]
            taken = {m.name for m in unweighted}
            self._parts.append((unweighted, [
                _renamed(_as_metric(m, target, pred, prefix), prefix, taken) for m in two
            ]))
        return self._parts

    name = "compile_metrics"

    def result(self) -> dict:
        """Return the results of all metrics by name."""
        return {m.name: m.result() for m in self.metrics}

    def reset_state(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    reset_states = reset_state

    @property
    def built(self) -> bool:
        return self._parts is not None

    @property
    def metrics(self) -> list:
        return [m for pair in self._parts or () for group in pair for m in group]

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Update every metric with one batch."""
        parts = self._parts
        if parts is None:
            parts = self.build(y_true, y_pred)
        if len(parts) == 1:
            plain, weighted = parts[0]
            target = y_true if type(y_true) is Tensor else _only(y_true)
            pred = y_pred if type(y_pred) is Tensor else _only(y_pred)
            for metric in plain:
                metric.update_state(target, pred)
            for metric in weighted:
                metric.update_state(target, pred, sample_weight=_only(sample_weight))
            return
        preds = tree.flatten(y_pred)
        targets = _align(y_true, y_pred, self._names, "targets")
        weights = _align(sample_weight, y_pred, self._names, "sample_weight")
        for (plain, weighted), target, pred, sw in zip(parts, targets, preds, weights):
            if target is None:
                continue
            for metric in plain:
                metric.update_state(target, pred)
            for metric in weighted:
                metric.update_state(target, pred, sample_weight=sw)


# ---- matching with outputs ---------------------------------------------------------------------------
def _only(value):
    """Return the single leaf of a structure of one."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return _only(value[0])
    if isinstance(value, Mapping) and len(value) == 1:
        return _only(next(iter(value.values())))
    return value


def _by_output(given, y_pred, names, what, default=None) -> list:
    """Return one entry of ``given`` per output."""
    if given is None:
        return [default] * len(names)
    if isinstance(given, Mapping) and "class_name" not in given:
        unknown = [k for k in given if k not in names]
        if unknown and not isinstance(y_pred, Mapping):
            positions = [str(k) for k in given]
            raise ValueError(f"{what} names {positions}, but the outputs are called {names}")
        if unknown:
            raise ValueError(f"{what} names {unknown}, but the outputs are called {names}")
        return [given.get(n, default) for n in names]
    if isinstance(given, (list, tuple)):
        flat = list(given)
        if len(flat) != len(names):
            raise ValueError(f"{what} has {len(flat)} entries for {len(names)} outputs ({names})")
        return flat
    return [given] * len(names)


def _align(values, y_pred, names, what) -> list:
    """Return the leaves of ``values`` in the order of the outputs; by name where both are known."""
    if values is None:
        return [None] * len(names)
    if isinstance(values, Mapping) and not isinstance(y_pred, Mapping):
        unknown = [k for k in values if k not in names]
        if unknown:
            raise ValueError(f"{what} names {unknown}, but the outputs are called {names}")
        return [values.get(n) for n in names]
    if isinstance(values, Mapping):
        return [values.get(k) for k in sorted(y_pred)]
    if isinstance(values, (list, tuple)):
        flat = list(values)
    else:
        flat = [values]
    if len(flat) == 1 and len(names) > 1 and what == "sample_weight":
        flat = flat * len(names)
    if len(flat) != len(names):
        raise ValueError(f"{len(flat)} {what} were given for {len(names)} outputs ({names})")
    return flat


def _lists_by_output(given, names, what) -> list[list]:
    """Return a list of metrics per output."""
    if given is None:
        return [[] for _ in names]
    if isinstance(given, Mapping):
        unknown = [k for k in given if k not in names]
        if unknown:
            raise ValueError(f"{what} names {unknown}, but the outputs are called {names}")
        return [as_list(given.get(n)) for n in names]
    given = as_list(given)
    nested = any(isinstance(g, (list, tuple)) for g in given)
    if len(names) == 1:
        return [[m for g in given for m in as_list(g)]]
    if nested or len(given) == len(names):
        if len(given) != len(names):
            raise ValueError(f"{what} has {len(given)} entries for {len(names)} outputs ({names})")
        return [as_list(g) for g in given]
    if len(given) == 1:
        return [list(given) for _ in names]
    raise ValueError(
        f"{what}: give one list per output, or a dictionary by output name; outputs are called {names}"
    )


def as_list(value) -> list:
    """Return ``None`` as no items, a list or tuple as its items, anything else as the only item."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _as_loss(given):
    """Return a ``Loss`` object for a name, a function, an object or ``None``."""
    from gpukeras import losses

    if given is None:
        return None
    found = losses.get(given)
    if isinstance(found, losses.Loss):
        return found
    name = getattr(found, "__name__", type(found).__name__)
    return losses.LossFunctionWrapper(found, name=name)


def _renamed(metric, prefix: str, taken: set):
    """Tell a weighted metric from an unweighted one of the same name, as Keras does."""
    if metric.name in taken:
        metric.name = f"{prefix}weighted_{metric.name.removeprefix(prefix)}"
    return metric


def _as_metric(given, y_true, y_pred, prefix):
    """Return a ``Metric``; ``"accuracy"`` and ``"crossentropy"`` become the kind the shapes ask for."""
    from gpukeras import metrics

    if isinstance(given, metrics.Metric):
        metric = given
        if prefix and not metric.name.startswith(prefix):
            metric.name = prefix + metric.name
        return metric
    name = given if isinstance(given, str) else None
    found = _by_shape(name, y_true, y_pred) if name else None
    if found is None:
        found = metrics.get(given)
    if isinstance(found, type):
        found = found()
    if not isinstance(found, metrics.Metric):
        name = name or getattr(found, "__name__", type(found).__name__)
        found = metrics.MeanMetricWrapper(found, name=name)
    elif name is not None:
        found.name = name
    found.name = prefix + found.name
    return found


def _by_shape(name, y_true, y_pred):
    from gpukeras import metrics

    kinds = {
        "accuracy": ("BinaryAccuracy", "SparseCategoricalAccuracy", "CategoricalAccuracy"),
        "crossentropy": ("BinaryCrossentropy", "SparseCategoricalCrossentropy", "CategoricalCrossentropy"),
    }
    key = {"acc": "accuracy", "ce": "crossentropy"}.get(name, name)
    if key not in kinds or y_true is None:
        return None
    binary, sparse, dense = kinds[key]
    if y_pred.shape[-1] == 1 or len(y_pred.shape) == 1:
        kind = binary
    elif len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
        kind = sparse
    else:
        kind = dense
    return getattr(metrics, kind)()


# ---- what compile was given -----------------------------------------------------------------------
def looks_like_metrics(value) -> bool:
    """Tell whether ``value`` holds metrics: names, objects or functions, not numbers."""
    from gpukeras.metrics import Metric

    return value is not None and not isinstance(value, (int, float)) and any(
        isinstance(leaf, (str, Metric)) or (callable(leaf) and not isinstance(leaf, (Tensor, np.ndarray)))
        for leaf in tree.flatten(value)
    )


def check_losses(loss) -> None:
    """Raise now for a misspelt loss, not at the first batch."""
    from gpukeras import losses

    for leaf in tree.flatten(loss):
        if isinstance(leaf, str):
            losses.get(leaf)
