"""How many samples ``predict`` computes at once: often more than a batch, for huge batches fewer.

Where every layer treats the samples one by one, their number in a batch changes nothing but speed and memory.
Small models spend most of the time of a batch in Python, so several batches are computed together; batches
whose activations would fill the memory are computed in pieces. ``batch_size`` still counts for the progress
bar, and for everybody who looks at single batches: then nothing is joined or cut.
"""

from __future__ import annotations

import math

from gpukeras import tree
from gpukeras.callbacks import ProgbarLogger
from gpukeras.callbacks.callback import implements
from gpukeras.layers.layer import Layer
from gpukeras.models.data import ArraySource
from gpukeras.registry import is_own

TOGETHER = 1 << 22  # elements of the largest activation up to which batches are joined
APART = 1 << 25  # elements of the largest activation from which on a batch is cut
MOST = 2048  # samples in joined batches
FEW = 32  # samples of which looking at the model would take longer than it gains

# Layers whose output for a sample depends on this sample alone, unless they are called in training mode.
ROWWISE = frozenset("""
    InputLayer Dense EinsumDense Activation Embedding Masking Flatten Reshape Permute RepeatVector
    Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D DepthwiseConv2D
    SeparableConv1D SeparableConv2D MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D
    AveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D BatchNormalization LayerNormalization
    GroupNormalization UnitNormalization Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D
    GaussianDropout GaussianNoise ActivityRegularization ReLU LeakyReLU PReLU ELU Softmax
    LSTM LSTMCell GRU GRUCell SimpleRNN SimpleRNNCell Bidirectional TimeDistributed
    Add Subtract Multiply Average Maximum Minimum Concatenate MultiHeadAttention Attention AdditiveAttention
    Rescaling
""".split())


class Pace:
    """Which of the user's batches the computed ones hold.

    Parameters
    ----------
    rows, size : int
        Samples computed at once, and in a batch of the user's.
    count : float
        All samples.
    """

    def __init__(self, rows: int = 1, size: int = 1, count: float = math.inf):
        self.rows, self.size, self.count = rows, size, count

    def first(self, number: int) -> int:
        """Return the user's batch in which computed batch ``number`` begins."""
        return number * self.rows // self.size

    def last(self, number: int) -> int:
        """Return the user's batch in which it ends."""
        return int(min((number + 1) * self.rows, self.count) - 1) // self.size


def set_pace(model, source, runner) -> Pace:
    """Let ``source`` yield as many samples at once as suits ``model`` if nobody looks at single batches."""
    if type(source) is not ArraySource or source.shuffle or source.steps * source.batch_size < source.count:
        return Pace()
    if source.count <= FEW or model.run_eagerly or model.stop_predicting or _watched(runner):
        return Pace()
    size = source.batch_size
    rows = _rows(model, size)
    source.batch_size, source.steps = rows, -(-source.count // rows)
    return Pace(rows, size, source.count)


def _watched(runner) -> bool:
    hooks = ("on_predict_batch_begin", "on_predict_batch_end")
    return any(
        type(callback) is not ProgbarLogger and any(implements(callback, hook) for hook in hooks)
        for callback in runner.callbacks
    )


def _rows(model, size: int) -> int:
    """Return how many samples to compute at once where the user's batches have ``size``."""
    widest = _widest(model) if rowwise(model) else None
    if widest is None:
        return size
    if size * widest > APART:
        return max(1, APART // widest)
    return size * max(1, min(TOGETHER // widest, MOST) // size)


def rowwise(model) -> bool:
    """Tell whether a model is known to treat the samples one by one."""
    graph = getattr(model, "_graph", None)
    if graph is None or not is_own(type(model)):
        return False
    if any(node.kwargs.get("training") for node in graph.nodes):
        return False
    return all(_rowwise_layer(operation) for operation in graph.operations)


def _rowwise_layer(layer) -> bool:
    if not isinstance(layer, Layer) or not is_own(type(layer)):
        return False
    if getattr(layer, "_graph", None) is not None:
        return rowwise(layer)
    if type(layer).__name__ not in ROWWISE or getattr(layer, "stateful", False):
        return False
    functions = [getattr(layer, name, None) for name in ("activation", "recurrent_activation")]
    axes = tree.flatten(getattr(layer, "axis", -1))
    return (
        all(f is None or is_own(f) for f in functions)
        and all(axis == -1 or axis > 0 for axis in axes)
        and all(_rowwise_layer(part) for part in layer._flatten_layers() if part is not layer)
    )


def _widest(model) -> int | None:
    """Return the elements per sample of the largest activation, ``None`` where shapes are open."""
    tensors = [*model._graph.inputs, *(t for node in model._graph.nodes for t in node.outputs)]
    sizes = [t.shape[1:] for t in tensors]
    if any(None in shape for shape in sizes):
        return None
    return max([1, *map(math.prod, sizes)])
