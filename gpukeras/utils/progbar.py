"""A line of text that shows how far a loop is."""

from __future__ import annotations

import os
import shutil
import sys
import time

from gpukeras import backends, config


class Progbar:
    """A progress bar for loops of known or unknown length.

    Parameters
    ----------
    target : int or None
        Number of steps; None where it is not known.
    width : int
        Characters of the bar.
    verbose : {0, 1, 2}
        Silent, a bar, or one line at the end.
    interval : float
        Least seconds between two drawings.
    stateful_metrics : sequence of str, optional
        Names of values shown as they come; the others are averaged over the steps until the end.
    stateless_metrics : sequence of str, optional
        The other way round: names of values that are averaged, all others are shown as they come.
    unit_name : str
        What a step is called.

    Notes
    -----
    In a terminal or notebook the line is drawn anew in place; in a file or pipe only the finished line is
    written. Values may be tensors: they are read only when the line is drawn.

    Examples
    --------
    >>> bar = Progbar(3, verbose=2)
    >>> for step in range(1, 4):
    ...     bar.update(step, [("loss", 1.5 / step)])  # doctest: +ELLIPSIS
    3/3 - 0s - ...s/step - loss: 0.5000
    """

    def __init__(
        self, target: int | None, width: int = 20, verbose: int = 1, interval: float = 0.05,
        stateful_metrics=None, stateless_metrics=None, unit_name: str = "step",
    ):
        if stateful_metrics and stateless_metrics:
            raise ValueError("Progbar takes stateful_metrics or stateless_metrics, not both")
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.stateful_metrics = stateful_metrics
        self.stateless_metrics = stateless_metrics
        self.unit_name = unit_name
        self._values: dict[str, list] = {}  # name -> [sum, steps] or [value, 1]
        self._seen = 0
        self._start = time.perf_counter()
        self._after_first: float | None = None  # the first step is slow and says little about the rest
        self._last_drawn = -float("inf")
        self._line_length = 0
        self._finished = False
        self._in_place = draws_in_place()

    def due(self, finalize: bool = False) -> bool:
        """Tell whether ``update`` would draw now; callers that must compute values ask first."""
        if finalize:
            return self.verbose > 0
        return (
            self.verbose == 1 and self._in_place and time.perf_counter() - self._last_drawn >= self.interval
        )

    def update(self, current: int, values=None, finalize: bool | None = None) -> None:
        """Show that ``current`` steps are done.

        Parameters
        ----------
        current : int
        values : list of (name, value), optional
        finalize : bool, optional
            Whether this is the last drawing; default: when ``current`` reaches ``target``.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._take(current, values or (), finalize)
        self._seen = current
        if self._after_first is None and current > 0:
            self._after_first = time.perf_counter()
            self._first_count = current
        if self._finished or not self.due(finalize):
            return
        self._last_drawn = time.perf_counter()
        if finalize:
            self._finished = True
        self._draw(self._line(current, finalize), finalize)

    def add(self, n: int, values=None) -> None:
        """Show that ``n`` more steps are done."""
        self.update(self._seen + n, values)

    def _take(self, current: int, values, finalize: bool) -> None:
        steps = max(current - self._seen, 1)
        for name, value in values:
            value = getattr(value, "array", value)  # arithmetic below must not land on a tape
            if finalize or not self._averaged(name):
                self._values[name] = [value, 1]
            elif name in self._values:
                entry = self._values[name]
                entry[0] = entry[0] + value * steps
                entry[1] += steps
            else:
                self._values[name] = [value * steps, steps]

    def _averaged(self, name: str) -> bool:
        if self.stateless_metrics is not None:
            return name in self.stateless_metrics
        return name not in (self.stateful_metrics or ())

    # ---- text ------------------------------------------------------------------------------------
    def _line(self, current: int, finalize: bool) -> str:
        now = time.perf_counter()
        per_step = self._step_seconds(current, now)
        if self.target is None or finalize:
            seconds = now - self._start
        else:
            seconds = per_step * (self.target - current)
        timing = f"{format_seconds(seconds)} {format_step(per_step, self.unit_name)}"
        metrics = "".join(f" - {name}: {format_value(total, n)}" for name, (total, n) in self._values.items())
        if self.verbose == 2:
            count = f"{current}/{self.target}" if self.target is not None else f"{current}/{current}"
            return f"{count} - {timing.replace(' ', ' - ', 1)}{metrics}"
        if self.target is None:
            return f"{current:7d}/Unknown {timing}{metrics}"
        count = f"{current:{len(str(self.target))}d}/{self.target}"
        room = self.width
        if not finalize and self._in_place:  # a line that wraps cannot be drawn over
            columns = shutil.get_terminal_size((120, 24)).columns
            room = max(5, min(room, columns - len(count) - len(timing) - len(metrics) - 3))
            return f"{count} {_bar(current / max(1, self.target), room)} {timing}{metrics}"[: columns - 1]
        return f"{count} {_bar(current / max(1, self.target), room)} {timing}{metrics}"

    def _step_seconds(self, current: int, now: float) -> float:
        if not current:
            return 0.0
        if self._after_first is not None and current > self._first_count:
            return (now - self._after_first) / (current - self._first_count)
        return (now - self._start) / current

    def _draw(self, line: str, finalize: bool) -> None:
        if self.verbose == 1 and self._in_place:
            gap = " " * max(0, self._line_length - len(line))
            self._line_length = len(line)
            write(f"\r{line}{gap}" + ("\n" if finalize else ""))
        else:
            write(line + "\n")


def draws_in_place() -> bool:
    """Tell whether standard output can draw a line anew: a terminal, a notebook, an IDE's console."""
    if not config.is_interactive_logging_enabled():
        return False
    stream = sys.stdout
    if type(stream).__module__.partition(".")[0] in ("ipykernel", "idlelib"):
        return True
    if "PYCHARM_HOSTED" in os.environ:
        return True
    return bool(getattr(stream, "isatty", lambda: False)())


def in_notebook() -> bool:
    """Tell whether standard output is a notebook, where every drawing is a message to a browser."""
    return type(sys.stdout).__module__.partition(".")[0] == "ipykernel"


def write(text: str) -> None:
    """Write to standard output at once, with plain characters where the console knows no others."""
    stream = sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.replace("━", "=").replace("─", ".").encode("ascii", "replace").decode("ascii"))
    stream.flush()


def _bar(share: float, width: int) -> str:
    done = min(width, int(width * share))
    return "━" * done + "─" * (width - done)


def format_seconds(seconds: float) -> str:
    """Return a duration as Keras shows it.

    Examples
    --------
    >>> format_seconds(5.4), format_seconds(75), format_seconds(3700)
    ('5s', '1:15', '1:01:40')
    """
    whole = int(seconds)
    if whole > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}" if whole > 60 else f"{whole}s"


def format_step(seconds: float, unit: str = "step") -> str:
    """Return the time of one step as Keras shows it.

    Examples
    --------
    >>> format_step(2.0), format_step(0.0216), format_step(5e-5, "file")
    ('2s/step', '22ms/step', '50us/file')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit}"
    return f"{seconds * 1e3:.0f}ms/{unit}" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/{unit}"


def format_value(total, steps: int = 1) -> str:
    """Return a metric's value as Keras shows it: four decimals, or exponents for small numbers.

    Examples
    --------
    >>> format_value(0.91234), format_value(0.00012), format_value(6.0, 4)
    ('0.9123', '1.2000e-04', '1.5000')
    """
    if hasattr(total, "dtype") and not hasattr(total, "__array_interface__"):  # lies on a GPU: fetched here
        total = backends.backend_of(total).to_numpy(total)
    try:
        value = float(total) / steps
    except (TypeError, ValueError):  # a list of values, a text
        return str(total)
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
