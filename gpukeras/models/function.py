"""``Function``: operations between symbolic tensors, without weights of its own."""

from __future__ import annotations

from gpukeras import tree
from gpukeras.layers.call_spec import is_shape
from gpukeras.models.graph import Graph
from gpukeras.symbolic import KerasTensor, Operation


class Function(Operation):
    """Repeat what leads from symbolic inputs to symbolic outputs.

    Parameters
    ----------
    inputs, outputs : KerasTensor or structure of them
    name : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> a, b = keras.Input((2,)), keras.Input((2,))
    >>> f = keras.Function([a, b], a * b + 1.0)
    >>> f([keras.ops.ones((1, 2)), keras.ops.ones((1, 2))]).numpy()
    array([[2., 2.]], dtype=float32)
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        self._graph = Graph(inputs, outputs, self.name)

    @property
    def operations(self) -> list[Operation]:
        """The operations, input layers among them, in the order in which they run."""
        return list(self._graph.operations)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs, as a list."""
        return self._graph.inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs, as a list."""
        return self._graph.outputs

    def call(self, inputs):
        """Compute the outputs for inputs in the structure of the symbolic ones."""
        return self._graph.run(self._graph.arrange(inputs))

    def compute_output_spec(self, inputs):
        """Return symbolic outputs for symbolic inputs."""
        found = self._graph.run(self._graph.arrange(inputs))
        return tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), found)

    def compute_output_shape(self, input_shape):
        """Return the shape of the outputs for the shape (or structure of shapes) of the inputs."""
        shapes = [input_shape] if is_shape(input_shape) else input_shape
        shapes = tree.flatten(tree.map_shape_structure(lambda shape: _Shape(shape), shapes))
        symbols = [KerasTensor(s.sizes, t.dtype) for s, t in zip(shapes, self.inputs, strict=True)]
        return tree.map_structure(lambda t: t.shape, self._graph.run(symbols))


class _Shape:
    """A shape as a leaf of a structure."""

    def __init__(self, sizes):
        self.sizes = tuple(sizes)
