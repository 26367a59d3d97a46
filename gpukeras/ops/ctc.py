"""Connectionist temporal classification: the loss of a label sequence without its alignment."""

from __future__ import annotations

from gpukeras import autograd
from gpukeras.op import op

from .math import floating

NEVER = -1e30  # logarithm of an impossible path: finite, so that differences stay numbers


def _ctc_shape(target, output, *args, **kwargs):
    if len(target) != 2 or len(output) != 3:
        raise ValueError(
            f"ctc_loss expects target of shape (N, L) and output of shape (N, T, C), came "
            f"{tuple(target)} and {tuple(output)}"
        )
    return (output[0],)


@op(shape=_ctc_shape, dtype=lambda target, output, *args, **kwargs: output, tensors=4)
def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """Return minus the log-probability of label sequences, summed over all alignments.

    Parameters
    ----------
    target : integer tensor, shape (N, L)
        Labels; what is beyond ``target_length`` does not count.
    output : tensor, shape (N, T, C)
        Logits of the classes at every step.
    target_length, output_length : integer tensors, shape (N,)
        Number of labels and of steps of each sequence.
    mask_index : int
        Class of the blank between labels.

    Returns
    -------
    tensor, shape (N,). Infinite, without gradient, where the labels do not fit into the steps.

    References
    ----------
    Graves et al., 2006, doi:10.1145/1143844.1143891.
    """
    _ctc_shape(target.shape, output.shape)
    xp, logits = floating(output)
    labels = target.array.astype("int64")
    sizes = target_length.array.astype("int64")
    steps = output_length.array.astype("int64")
    x = logits - logits.max(axis=-1, keepdims=True)
    log_p = x - xp.log(xp.exp(x).sum(axis=-1, keepdims=True))
    paths = _Paths(xp, labels, sizes, steps, log_p, mask_index)
    total = paths.forward()
    loss = xp.where(total < NEVER / 2, xp.full_like(total, xp.inf), -total)

    def vjp(dy):
        if autograd.recording():
            raise NotImplementedError(
                "ctc_loss has first derivatives only; take tape.gradient outside the outer tape's block"
            )
        dx = paths.gradient()
        dx *= dy.array[:, None, None]
        return None, dx.astype(output.dtype, copy=False), None, None

    return loss, vjp


class _Paths:
    """Forward and backward sums over the labels with blanks between them: S = 2 L + 1 states."""

    def __init__(self, xp, labels, sizes, steps, log_p, blank):
        n, count = labels.shape
        self.xp, self.log_p, self.steps, self.sizes = xp, log_p, steps, sizes
        states = xp.full((n, 2 * count + 1), blank, "int64")
        states[:, 1::2] = labels
        self.states = xp.clip(states, 0, log_p.shape[2] - 1)
        # (N, T, S): log-probability of each state's class.
        index = xp.broadcast_to(self.states[:, None, :], (n, log_p.shape[1], states.shape[1]))
        self.emit = xp.take_along_axis(log_p, index, axis=2)
        # A blank may be left out between two different labels.
        skip = xp.zeros(states.shape, bool)
        if count > 1:
            skip[:, 3::2] = labels[:, 1:] != labels[:, :-1]
        self.skip = skip
        place = xp.arange(states.shape[1])[None, :]
        end = 2 * sizes[:, None]
        self.final = self._where((place == end) | ((place == end - 1) & (end > 0)))

    def _where(self, condition):
        """Return 0 where ``condition``, else the logarithm of impossible."""
        kind = self.log_p.dtype
        return self.xp.where(condition, self.xp.zeros((), kind), self.xp.full((), NEVER, kind))

    def _shift(self, a, by):
        """Move states up by ``by`` (down where negative); what comes in is impossible."""
        moved = self.xp.full_like(a, NEVER)
        if abs(by) < a.shape[1]:
            if by > 0:
                moved[:, by:] = a[:, :-by]
            else:
                moved[:, :by] = a[:, -by:]
        return moved

    def _join(self, stay, one, two):
        xp = self.xp
        top = xp.maximum(xp.maximum(stay, one), two)
        return top + xp.log(xp.exp(stay - top) + xp.exp(one - top) + xp.exp(two - top))

    def forward(self):
        """Return log P(labels) (N,); keeps the forward sums alpha, a list over the steps."""
        xp = self.xp
        place = xp.arange(self.emit.shape[2])[None, :]
        alpha = self._where(xp.broadcast_to(place < 2, self.skip.shape)) + self.emit[:, 0]
        self.alphas = [alpha]
        for t in range(1, self.emit.shape[1]):
            two = xp.where(self.skip, self._shift(alpha, 2), xp.full_like(alpha, NEVER))
            new = self._join(alpha, self._shift(alpha, 1), two) + self.emit[:, t]
            alpha = xp.where((t < self.steps)[:, None], xp.maximum(new, NEVER), alpha)
            self.alphas.append(alpha)
        ends = alpha + self.final
        top = ends.max(axis=1, keepdims=True)
        self.total = (top + xp.log(xp.exp(ends - top).sum(axis=1, keepdims=True)))[:, 0]
        return self.total

    def gradient(self):
        """Return d loss / d logits (N, T, C): softmax minus how likely each class is at each step."""
        xp = self.xp
        n, count, classes = self.log_p.shape
        one_hot = (self.states[:, :, None] == xp.arange(classes)).astype(self.log_p.dtype)
        dx = xp.exp(self.log_p)
        possible = (self.total > NEVER / 2).astype(dx.dtype)
        jump = self._shift_flags()
        beta = self.final
        for t in range(count - 1, -1, -1):
            if t < count - 1:
                ahead = xp.maximum(beta + self.emit[:, t + 1], NEVER)
                two = xp.where(jump, self._shift(ahead, -2), xp.full_like(ahead, NEVER))
                new = self._join(ahead, self._shift(ahead, -1), two)
                beta = xp.where((t >= self.steps - 1)[:, None], self.final, new)
            share = xp.exp(xp.minimum(self.alphas[t] + beta - self.total[:, None], 0))
            dx[:, t] -= xp.matmul(share[:, None, :], one_hot)[:, 0]
            dx[:, t] *= ((t < self.steps) * possible)[:, None]
        return dx

    def _shift_flags(self):
        """Return from which states a path may jump two ahead."""
        xp = self.xp
        jump = xp.zeros(self.skip.shape, bool)
        jump[:, :-2] = self.skip[:, 2:]
        return jump
