"""Work of a recurrent layer that need not wait for the step before: done by other threads meanwhile.

The steps of a small batch are too short to be divided among threads: they would wait for each other, and for
Python, at every call. But the products of all inputs can run ahead of the steps, and backward the gradients
of the weights can follow them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence


class Ahead:
    """``function(0)``, ``function(1)``, ..., each called once: by helpers, or by the one who needs it first.

    Parameters
    ----------
    function : callable
    count : int
    """

    def __init__(self, function: Callable[[int], None], count: int):
        self.function = function
        self.lock = threading.Lock()
        self.begun: set[int] = set()
        self.ended = [threading.Event() for _ in range(count)]

    def help(self) -> None:
        """Call for one number after the other whatever nobody has begun."""
        for number in range(len(self.ended)):
            self._run(number)

    def need(self, number: int) -> None:
        """Return when the call for ``number`` has ended."""
        if not self._run(number):
            self.ended[number].wait()

    def _run(self, number: int) -> bool:
        with self.lock:
            if number in self.begun:
                return False
            self.begun.add(number)
        try:
            self.function(number)
        finally:
            self.ended[number].set()
        return True


class Followers:
    """Functions that each take all items in order, by whichever thread has time.

    No function is called by two threads at once, so sums stay in the same order.

    Parameters
    ----------
    functions : sequence of callable
    """

    def __init__(self, functions: Sequence[Callable]):
        self.functions = functions
        self.queues: list[deque] = [deque() for _ in functions]
        self.idle = [True] * len(functions)
        self.closed = False
        self.change = threading.Condition()

    def put(self, item: tuple) -> None:
        """Let every function have ``item``, the tuple of its arguments."""
        with self.change:
            for queue in self.queues:
                queue.append(item)
            self.change.notify_all()

    def close(self) -> None:
        """Tell that there are no further items."""
        with self.change:
            self.closed = True
            self.change.notify_all()

    def work(self) -> None:
        """Call functions until all items are taken and no further ones can come."""
        while (number := self._next()) is not None:
            try:
                self.functions[number](*self.queues[number].popleft())
            finally:
                with self.change:
                    self.idle[number] = True
                    self.change.notify_all()

    def _next(self) -> int | None:
        """Wait for a function with an item that no thread is calling: the one furthest behind."""
        with self.change:
            while True:
                ready = [n for n, queue in enumerate(self.queues) if queue and self.idle[n]]
                if ready:
                    number = max(ready, key=lambda n: len(self.queues[n]))
                    self.idle[number] = False
                    return number
                if self.closed and not any(self.queues):
                    return None
                self.change.wait()
