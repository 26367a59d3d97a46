"""EinsumDense: a dense layer over any axes."""

from __future__ import annotations

import re

from gpukeras.layers.arguments import refuse, take_arguments, written_arguments
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.ops.dense import split_activation
from gpukeras.ops.einsum_dense import einsum_dense

_FORM = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]*)(\.\.\.)?")


class EinsumDense(Layer):
    """A dense layer whose product is described by an einsum: ``activation(einsum(inputs, kernel) + bias)``.

    Parameters
    ----------
    equation : str
        ``"abc,cd->abd"``: one letter for each axis of the inputs (the batch axis is the first), of the kernel
        and of the outputs. ``...`` at the beginning or the end of inputs and outputs stands for any axes.
    output_shape : int or tuple of int or None
        Sizes of the outputs, without the batch axis and without those of ``...``; ``None`` where a size is
        that of the inputs.
    activation : str or callable, optional
    bias_axes : str, optional
        Letters of the output axes along which the bias differs; no bias unless given.
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    kernel_constraint, bias_constraint : str or Constraint, optional
    lora_rank, lora_alpha, gptq_unpacked_column_size, quantization_config
        Of Keras 3; only ``None`` is supported.

    Notes
    -----
    Where the equation is one product of matrices, it is computed as such, with bias and activation in the
    same step.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")
    >>> layer(keras.ops.ones((4, 5, 6))).shape
    (4, 5, 2, 3)
    >>> keras.layers.EinsumDense("...x,xy->...y", output_shape=64)(keras.ops.ones((4, 5, 6))).shape
    (4, 5, 64)
    """

    capturable = True

    def __init__(
        self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None,
        bias_constraint=None, lora_rank=None, lora_alpha=None, gptq_unpacked_column_size=None,
        quantization_config=None, **kwargs,
    ):
        super().__init__(**kwargs)
        refuse(self, lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config,
               gptq_unpacked_column_size=gptq_unpacked_column_size)
        sizes = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.partial_output_shape = sizes
        take_arguments(
            self, equation=equation, activation=activation, bias_axes=bias_axes,
            kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint,
        )
        self._split: tuple = (None, None, None)

    def build(self, input_shape):
        given, kernel, result, sizes = self._letters(input_shape)
        missing = [c for c in kernel if c not in given + result]
        if missing:
            raise ValueError(
                f"layer {self.name!r}: axis {missing[0]!r} of the kernel is neither one of the inputs nor of "
                f"the outputs in the equation {self.equation!r}"
            )
        shape = tuple(sizes[c] for c in kernel)
        if None in shape:
            raise ValueError(
                f"layer {self.name!r}: the kernel of {self.equation!r} needs known sizes, came {shape} for "
                f"axes '{kernel}' from inputs of shape {tuple(input_shape)} and "
                f"output_shape={self.partial_output_shape}"
            )
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.bias_axes is not None:
            self.bias = self.add_weight(
                name="bias", shape=self._bias_shape(result, self.compute_output_shape(input_shape), sizes),
                initializer=self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=len(input_shape))
        self.built = True

    def _letters(self, input_shape):
        """Return the letters of inputs, kernel and outputs, without ``...``, and the sizes of all axes."""
        form = _FORM.fullmatch(self.equation) if isinstance(self.equation, str) else None
        left, given, right, kernel, *dots, result = form.group(1, 2, 3, 4, 5, 7, 6) if form else [""] * 7
        if form is None or left and right or [left, right] != dots:
            raise ValueError(
                f"layer {self.name!r}: the equation must be like 'abc,cd->abd', '...ab,bc->...ac' or "
                f"'ab...,bc->ac...', came {self.equation!r}"
            )
        shape = tuple(input_shape)
        least = "at least " if left or right else ""
        if len(shape) < len(given) or len(shape) > len(given) and not least:
            raise ValueError(
                f"layer {self.name!r}: the inputs of {self.equation!r} have {least}{len(given)} axes, came "
                f"shape {shape}"
            )
        own = shape[len(shape) - len(given):] if left else shape[:len(given)]
        known = dict(zip(given, own))
        named = result if left else result[1:]
        if len(named) != len(self.partial_output_shape):
            raise ValueError(
                f"layer {self.name!r}: output_shape needs a size for each of the axes '{named}' of "
                f"{self.equation!r}, came {self.partial_output_shape}"
            )
        for c, size in zip(named, self.partial_output_shape):
            if size is not None and known.get(c) not in (None, size):
                raise ValueError(
                    f"layer {self.name!r}: axis {c!r} of {self.equation!r} has {known[c]} elements in the "
                    f"inputs (shape {shape}), but output_shape={self.partial_output_shape} says {size}"
                )
            known[c] = known.get(c) if size is None else size
        return given, kernel, result, known

    def _bias_shape(self, result, shape, sizes):
        unknown = [c for c in self.bias_axes if c not in result]
        if unknown:
            raise ValueError(
                f"layer {self.name!r}: bias_axes={self.bias_axes!r} names {unknown[0]!r}, which is not among "
                f"the output axes '{result}'"
            )
        dots = len(shape) - len(result) if self.equation.endswith("...") else 0
        axes = [(c, sizes[c]) for c in result] + [("", 1)] * dots
        wanted = [size if c and c in self.bias_axes else 1 for c, size in axes]
        first = min((i for i, (c, _) in enumerate(axes) if c and c in self.bias_axes), default=len(axes))
        found = tuple(wanted[first:])
        if None in found:
            raise ValueError(
                f"layer {self.name!r}: the bias along {self.bias_axes!r} needs known sizes, came {found}"
            )
        return found

    def call(self, inputs, training=None):
        if self._split[0] is not self.activation:
            self._split = (self.activation, *split_activation(self.activation))
        _, inside, after = self._split
        y = einsum_dense(inputs, self.kernel, self.bias, self.equation, inside)
        return y if after is None else after(y)

    def compute_output_shape(self, input_shape):
        given, _, result, _ = self._letters(input_shape)
        shape = tuple(input_shape)
        if self.equation.startswith("..."):
            return (*shape[:len(shape) - len(given)], *self.partial_output_shape)
        first = shape[given.index(result[0])] if result and result[0] in given else None
        lead = (first,) if result else ()
        return (*lead, *self.partial_output_shape, *shape[len(given):])

    def get_config(self):
        return super().get_config() | {"output_shape": self.partial_output_shape} | written_arguments(
            self, "equation", "activation", "bias_axes", "kernel_initializer", "bias_initializer",
            "kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint",
        )
