"""Where trainable variables lie in memory, and how one update walks over many of them at once.

Variables that no optimizer has seen move into one flat buffer per device and dtype; variables that already
live in a buffer stay (another optimizer works there too). An optimizer sees its variables as *segments*:
maximal rows of neighbours in one buffer. Its slots and gradients lie in the same order, so a rule treats a
whole segment as one long vector.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from gpukeras.tensor import Variable


class Segment:
    """A row of neighbouring variables in one buffer.

    Attributes
    ----------
    members : list of (index, offset)
        Which of the optimizer's variables, and where each begins, counted from the start of the segment.
    p : array, shape (size,)
        Their values, gaps for alignment included.
    slots : dict from str to array, shape (size,)
        The optimizer's state in the same places.
    """

    def __init__(self, buffer, start: int):
        self.buffer = buffer
        self.start = start
        self.size = 0
        self.members: list[tuple[int, int]] = []
        self.slots: dict = {}

    @property
    def p(self):
        return self.buffer[self.start:self.start + self.size]

    def add(self, index: int, offset: int, size: int) -> None:
        self.members.append((index, offset - self.start))
        self.size = offset + size - self.start


class Run:
    """A part of a segment that one call of the rule updates.

    Attributes
    ----------
    p, slots
        Pieces of the segment.
    source : int or None
        Position of the one gradient that is used where it lies, without a copy beside the others.
    """

    def __init__(self, segment: Segment, members, variables, backend):
        first, last = members[0], members[-1]
        start, stop = first[1], last[1] + variables[last[0]].size
        self.p = segment.p[start:stop]
        slots = {name: flat[start:stop] for name, flat in segment.slots.items()}
        self.slots = {name: piece for name, piece in slots.items() if piece is not None}
        self.backend = backend
        self.source: int | None = None
        self.places = [(index, offset - start) for index, offset in members]
        self._variables = variables
        self._g: Any = None
        self.gaps: list = []

    @property
    def g(self):
        """The flat gradients; made when first needed, zero in the gaps."""
        if self._g is None:
            self._g = self.backend.flat_buffer(self.p.size, self.p.dtype)
            end = 0
            for index, offset in self.places:
                if offset > end:
                    self.gaps.append(self._g[end:offset])
                end = offset + self._variables[index].size
        return self._g

    @functools.cached_property
    def bounds(self) -> tuple:
        """Where each variable begins and ends."""
        return tuple((offset, offset + self._variables[index].size) for index, offset in self.places)

    def view(self, index: int):
        """Return the place of the gradient of variable ``index``, in that variable's shape."""
        variable = self._variables[index]
        offset = dict(self.places)[index]
        return self.g[offset:offset + variable.size].reshape(variable.shape)

    def stretches(self, wanted) -> list:
        """Return the pieces of ``p`` that hold the neighbours among the variables ``wanted``."""
        found: list[list[int]] = []
        for index, offset in self.places:
            end = offset + self._variables[index].size
            if index not in wanted:
                found.append([])
            elif found and found[-1]:
                found[-1][1] = end
            else:
                found.append([offset, end])
        return [self.p[f[0]:f[1]] for f in found if f]


class Plan:
    """How to update one set of variables: what to copy, which runs, what follows.

    Attributes
    ----------
    runs : list of Run
    copies : list of (position, view)
        Gradients by their position in the call, and where their values go.
    places : dict of int to array
        The same by the variable's ``uid``.
    proven : bool
        Whether it is known which gradients come to their places by themselves.
    """

    def __init__(self, variables, indices, runs):
        self.variables = [variables[i] for i in indices]
        self.indices = indices
        self.runs = runs
        self.constrained = [v for v in self.variables if v.constraint is not None]
        position = {index: k for k, index in enumerate(indices)}
        self.copies = []
        for run in runs:
            if len(run.places) == 1 and run.source is not None:
                run.source = position[run.places[0][0]]
                continue
            run.source = None
            self.copies += [(position[index], run.view(index)) for index, _ in run.places]
        self.places = {self.variables[k].uid: view for k, view in self.copies}
        self.proven = False
        self.decayed: list | None = None  # pieces of p under weight decay, found when first needed


def make_plan(variables, segments, indices, whole: bool, apart=frozenset(), beside=frozenset()) -> Plan:
    """Cut the segments into runs.

    Parameters
    ----------
    indices : tuple of int
        The variables that have gradients, in the order of the call.
    whole : bool
        Gather every gradient in the flat buffer, because something will change them there.
    apart : set of int
        Variables with a run of their own, for rules that are not elementwise.
    beside : set of int
        Variables whose gradients are expected beside the others, large or not.
    """
    wanted = set(indices)
    runs = []
    for segment in segments:
        backend = variables[segment.members[0][0]].backend
        limit = math.inf if whole or backend.direct_gradient is None else backend.direct_gradient
        row: list = []
        for member in segment.members:
            large = variables[member[0]].size >= limit and member[0] not in beside
            separate = member[0] in apart
            if row and (member[0] not in wanted or large or separate):
                runs.append(Run(segment, row, variables, backend))
                row = []
            if member[0] not in wanted:
                continue
            row.append(member)
            if large or separate:
                run = Run(segment, row, variables, backend)
                run.source = -1 if large else None
                runs.append(run)
                row = []
        if row:
            runs.append(Run(segment, row, variables, backend))
    return Plan(variables, indices, runs)


def find_segments(variables) -> list[Segment]:
    """Give variables without a home a common one, and return the rows in which all of them lie."""
    _settle([v for v in variables if not _at_home(v)])
    located = sorted(range(len(variables)), key=lambda i: (id(variables[i].home[0]), variables[i].home[1]))
    segments: list[Segment] = []
    for index in located:
        variable = variables[index]
        buffer, offset = variable.home
        last = segments[-1] if segments else None
        if last is None or last.buffer is not buffer or offset != _round_up(last.start + last.size, variable):
            last = Segment(buffer, offset)
            segments.append(last)
        last.add(index, offset, variable.size)
    return segments


def place_slots(segment: Segment, variables, slots: dict, starts: dict) -> None:
    """Move the slot variables of a segment's members into flat buffers beside its parameters.

    ``starts`` has the first values of slots that do not start at zero; the gaps get them too, because the
    rules compute there as well and must not divide zero by zero.
    """
    for name, rows in slots.items():
        buffer = Pieces()
        for first, last in _stretches(segment, rows):
            size = last[1] + variables[last[0]].size - first[1]
            piece = variables[first[0]].backend.flat_buffer(size, segment.buffer.dtype)
            if starts.get(name):
                piece[...] = starts[name]
            buffer.add(first[1], piece)
        for index, offset in segment.members:
            slot = rows[index]
            if slot is not None:
                place = buffer[offset:offset + slot.size].reshape(slot.shape)
                place[...] = slot.array
                slot.array = place
        whole = len(buffer.pieces) == 1 and buffer.pieces[0][1].size == segment.size
        segment.slots[name] = buffer.pieces[0][1] if whole else buffer


class Pieces:
    """A slot that some variables of a segment do not have: buffers for those between, by their places."""

    def __init__(self):
        self.pieces: list = []

    def add(self, start: int, piece) -> None:
        self.pieces.append((start, piece))

    def __getitem__(self, where: slice):
        """Return what lies between two places; ``None`` where that is not in one of the buffers."""
        for start, piece in self.pieces:
            if start <= where.start and where.stop <= start + piece.size:
                return piece[where.start - start:where.stop - start]
        return None


def _stretches(segment: Segment, rows) -> list:
    """Return the first and last member of every row of neighbours that have a slot."""
    found: list[list] = []
    open_row = False
    for member in segment.members:
        if rows[member[0]] is None:
            open_row = False
        elif open_row:
            found[-1][1] = member
        else:
            found.append([member, member])
            open_row = True
    return found


def _at_home(variable: Variable) -> bool:
    """Tell whether the variable still lives in the buffer that it moved to."""
    if variable.home is None:
        return False
    buffer, offset = variable.home
    array = variable.array
    return array.size == 0 or _address(array) == _address(buffer) + offset * buffer.dtype.itemsize


def _address(array) -> int:
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0]
    return array.data.ptr


def _settle(variables) -> None:
    """Move homeless variables into one new buffer per device and dtype."""
    groups: dict = {}
    for variable in variables:
        groups.setdefault((variable.backend, variable.dtype), []).append(variable)
    for (backend, dtype), group in groups.items():
        offsets, end = [], 0
        for variable in group:
            offsets.append(end)
            end = _round_up(end + variable.size, variable)
        buffer = backend.flat_buffer(end, dtype)
        for variable, offset in zip(group, offsets):
            view = buffer[offset:offset + variable.size].reshape(variable.shape)
            variable.rebind(view, (buffer, offset))


def _round_up(end: int, variable) -> int:
    step = max(1, variable.backend.flat_alignment // variable.dtype.itemsize)
    return -(-end // step) * step
