"""Numbers into bins: by given boundaries, or by quantiles of data."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes, ops
from gpukeras.layers.preprocessing.base import PreprocessingLayer
from gpukeras.layers.preprocessing.constants import Constants
from gpukeras.layers.preprocessing.encoding import MODES, check_mode, encode, encoded_shape
from gpukeras.symbolic import KerasTensor


class Discretization(PreprocessingLayer):
    """Return the number of the bin in which each input lies, or vectors made of these numbers.

    Parameters
    ----------
    bin_boundaries : sequence of float, optional
        Rising; ``n`` boundaries make ``n + 1`` bins. A value equal to a boundary lies above it.
    num_bins : int, optional
        Let ``adapt`` choose boundaries between so many bins of about equal numbers of samples.
    epsilon : float
        What share of the data quantiles may be wrong by: data are summed up in about ``1 / epsilon`` points.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
        Bin numbers; a vector for each; or one for all along the last axis, with ones or with counts.
    sparse : bool
        Vectors without their zeros (on the CPU).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Discretization([0.0, 1.0])([[-1.5, 0.0, 3.4]]).tolist()
    [[0, 1, 2]]
    """

    def __init__(self, bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode="int", sparse=False,
                 dtype=None, name=None, **kwargs):
        bins = kwargs.pop("bins", None)  # an early name of both
        if isinstance(bins, int):
            num_bins = bins if num_bins is None else num_bins
        elif bins is not None:
            bin_boundaries = bins if bin_boundaries is None else bin_boundaries
        super().__init__(name=name, dtype=dtype, **kwargs)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError(
                "Discretization takes either bin_boundaries or num_bins, came "
                f"bin_boundaries={bin_boundaries} and num_bins={num_bins}"
            )
        if num_bins is not None and num_bins < 0:
            raise ValueError(f"Discretization: num_bins must not be negative, came {num_bins}")
        check_mode(self, output_mode, ("int", *MODES), sparse)
        self.input_bin_boundaries = bin_boundaries
        self.bin_boundaries = [] if bin_boundaries is None else _rising(bin_boundaries)
        self.num_bins, self.epsilon, self.output_mode, self.sparse = num_bins, epsilon, output_mode, sparse
        self.summary = np.zeros((2, 0), "float32")
        self._constants = Constants()

    # ---- learning ------------------------------------------------------------------------------------
    def _check_adaptable(self):
        if self.input_bin_boundaries is not None:
            raise ValueError(
                "Discretization: adapt has nothing to learn, as bin_boundaries were given; use num_bins")

    def reset_state(self):
        if self.input_bin_boundaries is None:
            self.summary = np.zeros((2, 0), "float32")

    def update_state(self, data):
        self.summary = merged(summarized(np.asarray(data), self.epsilon), self.summary, self.epsilon)

    def finalize_state(self):
        if self.input_bin_boundaries is None and self.summary.size and self.num_bins:
            self.bin_boundaries = compressed(self.summary, 1.0 / self.num_bins)[0, :-1].tolist()
            self._constants.clear()

    # ---- calling -------------------------------------------------------------------------------------
    @property
    def output_dtype(self) -> str:
        return "int32" if self.output_mode == "int" else self.compute_dtype

    @property
    def input_dtype(self) -> str:
        return "float32"

    def call(self, inputs):
        if not self.bin_boundaries and not self.num_bins == 1:
            raise ValueError(
                f"layer {self.name!r} (Discretization) has no bin boundaries yet: call adapt(data) first")
        kind = inputs.dtype if dtypes.is_float(inputs.dtype) else "float32"
        bounds = self._constants.get("bounds", np.asarray(self.bin_boundaries), inputs, kind)
        bins = ops.searchsorted(bounds, inputs, side="right")
        if self.output_mode == "int":
            return bins
        depth = len(self.bin_boundaries) + 1
        return encode(bins, self.output_mode, depth, self.compute_dtype, sparse=self.sparse)

    def compute_output_shape(self, input_shape):
        return encoded_shape(input_shape, self.output_mode, len(self.bin_boundaries) + 1)

    def compute_output_spec(self, inputs):
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype, sparse=self.sparse)

    # ---- configuration --------------------------------------------------------------------------------
    def load_own_variables(self, store):
        """The boundaries are part of the configuration."""

    def get_config(self):
        return {
            "bin_boundaries": list(self.bin_boundaries), "num_bins": self.num_bins, "epsilon": self.epsilon,
            "output_mode": self.output_mode, "sparse": self.sparse, "name": self.name,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        adapted = config.get("bin_boundaries") if config.get("num_bins") is not None else None
        if config.get("num_bins") is not None:
            config.pop("bin_boundaries", None)
        layer = cls(**config)
        if adapted:
            layer.bin_boundaries = _rising(adapted)
            layer._is_adapted = True
        return layer


def _rising(boundaries) -> list:
    found = [float(b) for b in np.asarray(boundaries).ravel()]
    if any(a > b for a, b in zip(found, found[1:])):
        raise ValueError(f"Discretization: bin_boundaries must rise, came {found}")
    return found


# ---- summaries of data: values (first row) and how many each stands for (second row) ----------------------
def summarized(values, epsilon: float) -> np.ndarray:
    """Return every so-many-th of the sorted values."""
    values = np.sort(values.ravel())
    weight = max(values.size * epsilon, 1.0)
    points = values[int(weight) - 1::int(weight)]
    return np.stack([points, np.full(points.shape, weight)]).astype("float32")


def merged(one, other, epsilon: float) -> np.ndarray:
    """Return the summary of what two summaries stand for."""
    both = np.concatenate([one, other], axis=1)
    return compressed(both[:, np.argsort(both[0])], epsilon)


def compressed(summary, epsilon: float) -> np.ndarray:
    """Return a summary of about ``1 / epsilon`` points, by linear interpolation of the cumulative weights."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].astype(np.float64).cumsum()
    points = np.interp(shares, weights / weights[-1], summary[0])
    upto = np.interp(shares, weights / weights[-1], weights)
    return np.stack([points, np.diff(upto, prepend=0.0)]).astype("float32")
