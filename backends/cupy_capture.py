"""Steps captured as CUDA graphs, on memory of their own.

A graph knows addresses, and keeps no array alive. What is allocated while it is captured comes from a pool
that lives as long as the graph and serves nobody else; what existed before, whoever launches it must keep.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import threading

import cupy

from .capture import CaptureMixin
from .program import CannotRecord


class CupyCaptureMixin(CaptureMixin):
    """Capture on a stream that waits for no other; launch on the current one, in order with all else."""

    captures = True

    def graph_memory(self):
        return cupy.cuda.MemoryPool(_from_device)

    def capture(self, work, memory):
        # The ordinary steps before left memory to CuPy's own pool; the graph's takes its place.
        cupy.get_default_memory_pool().free_all_blocks()
        stream = self._capturing
        with stream, _nothing_freed():
            stream.begin_capture()
            try:
                with cupy.cuda.using_allocator(memory.malloc), _no_uploads():
                    work()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # says once more that the capture is lost
                    stream.end_capture()
                raise
            return stream.end_capture()

    @functools.cached_property
    def _capturing(self):
        # One for all captures: a pool keeps the memory of each stream apart.
        return cupy.cuda.Stream(non_blocking=True)

    def generator_state(self, generator):
        return [place.copy() for place in _positions(generator)]

    def set_generator_state(self, generator, state):
        for place, value in zip(_positions(generator), state):
            place[...] = value


def _positions(generator) -> list:
    """Return where on the device a generator keeps its place in the sequence."""
    other = generator.__dict__.get("_other")  # CuPy's, where it was needed
    return [generator.state, *([] if other is None else [other.bit_generator._state])]


def _from_device(size: int):
    """Return new device memory, or fail at once.

    CuPy's pool would answer a lack of memory by giving back free blocks: those that the graph writes to.
    """
    try:
        return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise CannotRecord(f"the device has no {size >> 20} MB left for the step's results") from error


@contextlib.contextmanager
def _nothing_freed():
    """Keep Python from finding garbage now: to free another graph, say, the device would have to wait."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def _no_uploads():
    """Refuse copies from the host: the graph would read buffers that CuPy has long given to others."""
    usual = cupy.get_default_pinned_memory_pool().malloc  # CuPy does not tell which allocator it was
    here = threading.get_ident()

    def refuse(size):
        if threading.get_ident() != here:
            return usual(size)
        raise CannotRecord("the step copies data from the host")

    cupy.cuda.set_pinned_memory_allocator(refuse)
    try:
        yield
    finally:
        cupy.cuda.set_pinned_memory_allocator(usual)
