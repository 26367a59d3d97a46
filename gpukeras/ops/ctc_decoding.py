"""Decoding for connectionist temporal classification: the most probable label sequences."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes
from gpukeras.op import op

PADDING = -1  # what follows the labels of a sequence
STRATEGIES = ("greedy", "beam_search")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # of the numbers that stand for label sequences


def _decode_shape(inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, *args, **kwargs):
    if strategy not in STRATEGIES:
        raise ValueError(f"ctc_decode: strategy must be one of {STRATEGIES}, came {strategy!r}")
    if len(inputs) != 3 or len(sequence_lengths) != 1:
        raise ValueError(
            f"ctc_decode expects inputs of shape (N, T, C) and sequence_lengths of shape (N,), came "
            f"{tuple(inputs)} and {tuple(sequence_lengths)}"
        )
    if strategy == "beam_search" and not 1 <= top_paths <= beam_width:
        raise ValueError(
            f"ctc_decode: top_paths must lie between 1 and beam_width={beam_width}, came {top_paths}"
        )
    paths = 1 if strategy == "greedy" else top_paths
    return [(paths, *inputs[:2]), (inputs[0], paths)]


@op(shape=_decode_shape, dtype=lambda x, *_, **__: ["int32", dtypes.float_type(x).name], tensors=2)
def ctc_decode(inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, merge_repeated=True,
               mask_index=0):
    """Return the label sequences that a model of ``ctc_loss`` predicts.

    Parameters
    ----------
    inputs : tensor, shape (N, T, C)
        Logits of the classes at every step.
    sequence_lengths : integer tensor, shape (N,)
        Steps of each sequence.
    strategy : {"greedy", "beam_search"}
        Take the best class of every step, or add up over all ways in which the labels may lie in time and
        keep the best beginnings.
    beam_width : int
        Beginnings kept (beam search).
    top_paths : int
        Sequences to return (beam search).
    merge_repeated : bool
        Whether equal classes at neighbouring steps are one label (greedy; in a beam search they are, and only
        a blank between them makes two).
    mask_index : int
        Class of the blank.

    Returns
    -------
    decoded : tensor of int32, shape (paths, N, T)
        Labels, filled up with -1.
    scores : tensor, shape (N, paths)
        Greedy: minus the sum of the logits taken. Beam search: logarithms of the probabilities.

    Notes
    -----
    A beam search runs on the host, after a copy of the logits.

    References
    ----------
    Graves et al., 2006, doi:10.1145/1143844.1143891; Hannun et al., 2014, arXiv:1408.2873 (algorithm 1).

    Examples
    --------
    >>> from gpukeras import ops
    >>> logits = ops.one_hot(ops.array([[1, 1, 0, 1, 2]]), 3)
    >>> ops.ctc_decode(logits, [5])[0].tolist()
    [[[1, 1, 2, -1, -1]]]
    """
    _decode_shape(inputs.shape, sequence_lengths.shape, strategy, beam_width, top_paths)
    if not dtypes.is_float(inputs.dtype):
        raise TypeError(f"ctc_decode expects floating logits, came {inputs.dtype}")
    backend = inputs.backend
    if strategy == "greedy":
        return _greedy(backend.xp, inputs.array, sequence_lengths.array, merge_repeated, mask_index), None
    logits = backend.to_numpy(inputs.array)
    search = _Search(logits, backend.to_numpy(sequence_lengths.array), beam_width, mask_index)
    labels, scores = search.best(top_paths)
    return (backend.asarray(labels), backend.asarray(scores.astype(logits.dtype))), None


def _greedy(xp, logits, lengths, merge_repeated, blank):
    steps = xp.arange(logits.shape[1])[None, :]
    inside = steps < lengths[:, None]
    labels = logits.argmax(axis=-1).astype("int32")
    scores = -xp.where(inside, logits.max(axis=-1), xp.zeros((), logits.dtype)).sum(axis=1, keepdims=True)
    kept = inside & (labels != blank)
    if merge_repeated:
        kept[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    # Those kept move to the front, in their order.
    order = xp.argsort(xp.where(kept, steps, steps + logits.shape[1]), axis=1)
    labels = xp.where(kept, labels, xp.full_like(labels, PADDING))
    return xp.take_along_axis(labels, order, axis=1)[None], scores.astype(logits.dtype, copy=False)


class _Search:
    """Beam search over beginnings of label sequences, for all samples at once.

    A beginning is known by a number made of its labels, so that two ways to the same one meet: one more label
    on a shorter beginning, or the same beginning waiting.

    Attributes
    ----------
    blank, label : float array, shape (N, W)
        Logarithms of the probability of each beginning ending with a blank, or with its last label.
    last : int array, shape (N, W)
        The last label, -1 where there is none.
    number, parent : uint64 array, shape (N, W)
        What stands for the beginning, and for the one without its last label.
    labels : int array, shape (N, W, T); count : int array, shape (N, W)
        The beginnings themselves.
    """

    def __init__(self, logits, lengths, width: int, blank_class: int):
        samples, steps, self.classes = logits.shape
        x = logits.astype("float32", copy=False) if logits.dtype.itemsize < 4 else logits
        x = x - x.max(axis=-1, keepdims=True)
        self.log_p = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
        self.width, self.blank_class = width, blank_class % self.classes
        self.blank = np.full((samples, 1), 0, x.dtype)
        self.label = np.full((samples, 1), -np.inf, x.dtype)
        self.last = np.full((samples, 1), PADDING)
        self.number = np.full((samples, 1), 1, np.uint64)
        self.parent = np.zeros((samples, 1), np.uint64)
        self.labels = np.full((samples, 1, steps), PADDING, np.int32)
        self.count = np.zeros((samples, 1), np.int64)
        for step in range(min(steps, max(lengths.tolist(), default=0))):
            self._advance(np.flatnonzero(lengths > step), step)

    def best(self, paths: int):
        """Return labels (paths, N, T) and scores (N, paths), the best first."""
        samples, found, steps = self.labels.shape
        labels = np.full((paths, samples, steps), PADDING, np.int32)
        scores = np.full((samples, paths), -np.inf, self.blank.dtype)
        total = np.logaddexp(self.blank, self.label)
        order = np.argsort(-total, axis=1, kind="stable")[:, :paths]
        scores[:, :order.shape[1]] = np.take_along_axis(total, order, 1)
        chosen = np.take_along_axis(self.labels, order[:, :, None], 1)
        labels[:order.shape[1]] = np.where(
            np.isfinite(scores[:, :order.shape[1], None]), chosen, PADDING).transpose(1, 0, 2)
        return labels, scores

    def _advance(self, rows, step: int) -> None:
        """Let the samples ``rows`` take one step."""
        log_p = self.log_p[rows, step]
        blank, label, last = self.blank[rows], self.label[rows], self.last[rows]
        total = np.logaddexp(blank, label)
        # One label more; the same label again needs a blank before it.
        longer = total[:, :, None] + log_p[:, None, :]
        again = np.take_along_axis(log_p, np.maximum(last, 0), 1)
        place = np.maximum(last, 0)[:, :, None]
        np.put_along_axis(longer, place, np.where(
            last[:, :, None] >= 0, (blank + again)[:, :, None], np.take_along_axis(longer, place, 2)), 2)
        longer[:, :, self.blank_class] = -np.inf
        # The same beginning: a blank, or its last label going on.
        waiting_blank = total + log_p[:, self.blank_class, None]
        waiting_label = np.where(last >= 0, label + again, -np.inf)
        waiting_label = self._join(rows, longer, waiting_label, last)
        self._keep(rows, step, waiting_blank, waiting_label, longer)

    def _join(self, rows, longer, waiting, last):
        """Add what reaches a beginning in the beam by one more label to it, out of ``longer``."""
        number, parent = self.number[rows], self.parent[rows]
        same = (parent[:, :, None] == number[:, None, :]) & (last[:, :, None] >= 0)  # (N, W of j, W of i)
        sample, j, i = np.nonzero(same)
        target = sample, i, last[sample, j]
        waiting[sample, j] = np.logaddexp(waiting[sample, j], longer[target])
        longer[target] = -np.inf
        return waiting

    def _keep(self, rows, step, waiting_blank, waiting_label, longer) -> None:
        """Let the best candidates be the beam."""
        beam = waiting_blank.shape[1]
        scores = np.concatenate(
            [np.logaddexp(waiting_blank, waiting_label), longer.reshape(len(rows), -1)], axis=1)
        width = min(self.width, scores.shape[1])
        chosen = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        self._widen(max(width, self.blank.shape[1]))
        found = np.take_along_axis(scores, chosen, 1)
        new = chosen >= beam
        source, added = np.divmod(np.where(new, chosen - beam, chosen * self.classes), self.classes)

        def from_source(values):
            return np.take_along_axis(values[rows], source, 1)

        never = np.full_like(found, -np.inf)
        before = from_source(self.number)
        count = from_source(self.count)
        labels = np.take_along_axis(self.labels[rows], source[:, :, None], 1)
        ends = np.nonzero(new)
        labels[ends[0], ends[1], count[ends]] = added[ends]
        values = {
            "blank": np.where(new, never, np.take_along_axis(waiting_blank, source, 1)),
            "label": np.where(new, found, np.take_along_axis(waiting_label, source, 1)),
            "last": np.where(new, added, from_source(self.last)),
            "number": np.where(new, _number(before, added), before),
            "parent": np.where(new, before, from_source(self.parent)),
            "labels": labels, "count": count + new,
        }
        dead = ~np.isfinite(found)
        for name, value in values.items():
            array = getattr(self, name)
            if name in ("blank", "label"):
                value[dead] = -np.inf
                array[rows] = -np.inf  # what lies beyond the beam
            array[rows, :width] = value
        self.number[rows[:, None], np.arange(width)] = np.where(dead, np.uint64(0), values["number"])
        self.parent[rows[:, None], np.arange(width)] = np.where(dead, ~np.uint64(0), values["parent"])

    def _widen(self, width: int) -> None:
        """Make room for ``width`` beginnings."""
        missing = width - self.blank.shape[1]
        if missing > 0:
            for name, filler in (("blank", -np.inf), ("label", -np.inf), ("last", PADDING), ("number", 0),
                                 ("parent", 0), ("labels", PADDING), ("count", 0)):
                array = getattr(self, name)
                around = [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2)
                if name == "parent":
                    filler = ~np.uint64(0)
                setattr(self, name, np.pad(array, around, constant_values=filler))


def _number(before, label):
    """Return the number of a beginning with one label more; others have others, nearly surely."""
    mixed = (before + label.astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
    return mixed ^ (mixed >> np.uint64(29))
