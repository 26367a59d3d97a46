"""The one training loop: ``fit`` → ``train_step`` → tape, loss, gradients, optimizer, metrics.

Who owns what: the data source slices and shuffles, ``train_step`` trains on one batch, metrics keep their
totals on the device, callbacks are told and may stop the run. Numbers come back to the host only when
something reads the logs.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpukeras import autograd, backends, config, ops, tree
from gpukeras.autograd import GradientTape
from gpukeras.backends import threads
from gpukeras.callbacks.logs import Logs, host_values
from gpukeras.layers.layer import Layer
from gpukeras.models.compiled import CompiledLoss, CompiledMetrics, check_losses, looks_like_metrics
from gpukeras.models.data import make_source, split_validation, validation_parts
from gpukeras.models.inner_batch import set_pace
from gpukeras.tensor import Tensor, Variable
from gpukeras.text import StringTensor
from gpukeras.utils.structures import pack_x_y_sample_weight, unpack_x_y_sample_weight


class Trainer(Layer):
    """``compile``, ``fit``, ``evaluate``, ``predict`` and what they are made of; a part of ``Model``."""

    _metrics_cached: list | None

    def _init_training(self) -> None:
        self.optimizer: Any = None  # an Optimizer once compiled
        self.loss = None
        self.loss_weights = None
        self.stop_training = False
        self.stop_evaluating = False
        self.stop_predicting = False
        self.history = None
        self.compiled = False
        self.run_eagerly = False
        self.steps_per_execution = 1
        self.jit_compile = False
        self._compile_loss: CompiledLoss | None = None
        self._compile_metrics: CompiledMetrics | None = None
        self._loss_tracker: Any = None  # a Mean once compiled
        self._compile_config: dict | None = None
        self._forget_compiled_state()

    def _forget_compiled_state(self) -> None:
        """Forget which variables are trained: asked anew at the next step."""
        self._variables_trained: list[Variable] | None = None
        self._captured: Any = None  # a CapturedStep once training has begun
        self._captured_evaluation: Any = None  # the same for evaluation on a GPU
        self._regularized = False  # whether any of them has a regularizer

    # ---- compile -------------------------------------------------------------------------------------
    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                run_eagerly=False, steps_per_execution=1, jit_compile="auto", auto_scale_loss=True, **kwargs):
        """Choose how the model is trained.

        The ``trainable`` flags of the layers count as they are now; after changing them, compile again.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, Loss, callable, or a list/dictionary of them by output
        loss_weights : list or dictionary of float, optional
        metrics, weighted_metrics : list, or list/dictionary of lists by output, optional
            ``weighted_metrics`` see the sample weights, ``metrics`` do not.
        run_eagerly : bool
            Never record and replay the training step (see the notes), nor predict several batches at once.
        jit_compile
            Accepted for compatibility; no effect.
        auto_scale_loss : bool
            Under the policy ``"mixed_float16"`` wrap the optimizer in a ``LossScaleOptimizer``.
        steps_per_execution : int
            Batch hooks of callbacks are called once in so many batches.

        Raises
        ------
        ValueError
            For unknown names, with the nearest known one.

        Notes
        -----
        Where Keras compiles the training step, it is recorded and replayed here (``models.captured``): on the
        CPU the array calls of a small model, on a GPU a CUDA graph; the same numbers without most of the
        Python. Only models made of this library's layers, losses and metrics are recorded;
        ``keras.config.explain(model)`` says what was, and why not. As in Keras, settings of layers that are
        changed later (a dropout rate) count once the model is compiled again; learning rate and weights
        count at once.
        """
        from gpukeras import metrics as metrics_module
        from gpukeras import optimizers
        from gpukeras.models.captured import COMPILED

        for old in ("sample_weight_mode", "target_tensors", "experimental_run_tf_function"):
            kwargs.pop(old, None)
        if kwargs:
            known = list(inspect.signature(Trainer.compile).parameters)[1:-1]
            raise TypeError(f"compile: unknown arguments {sorted(kwargs)}; it takes {known}")
        if looks_like_metrics(loss_weights):  # tf.keras 2: metrics came third
            loss_weights, metrics = metrics, loss_weights
        self._compile_config = {
            "optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution, "jit_compile": jit_compile,
        }
        self.optimizer = optimizers.get(optimizer)
        scale = self.dtype_policy.loss_scale if auto_scale_loss else None
        if scale == "dynamic" and not isinstance(self.optimizer, optimizers.LossScaleOptimizer):
            self.optimizer = optimizers.LossScaleOptimizer(self.optimizer)
        elif isinstance(scale, (int, float)):
            self.optimizer.loss_scale_factor = scale
        self.loss, self.loss_weights = loss, loss_weights
        names = self._known_output_names()
        self._compile_loss = None
        if loss is not None:
            check_losses(loss)
            self._compile_loss = CompiledLoss(loss, loss_weights, names)
        self._compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            for given in (metrics, weighted_metrics):
                for leaf in tree.flatten(given):
                    if isinstance(leaf, str) and leaf not in ("accuracy", "acc", "crossentropy", "ce"):
                        metrics_module.get(leaf)
            self._compile_metrics = CompiledMetrics(metrics, weighted_metrics, names)
        self._loss_tracker = metrics_module.Mean(name="loss")
        self.run_eagerly = run_eagerly
        self.jit_compile = jit_compile
        if not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ValueError(f"steps_per_execution must be a positive integer, came {steps_per_execution!r}")
        self.steps_per_execution = steps_per_execution
        self.stop_training = False
        self.compiled = True
        COMPILED.add(self)
        self._forget_compiled_state()
        if self.built:
            self._trained_variables()

    def _known_output_names(self) -> list[str] | None:
        """Return the names of the outputs, where they are known without data."""
        return None

    def _need_compile(self, what: str) -> None:
        if not self.compiled:
            raise RuntimeError(
                f"model {self.name!r} must be compiled before {what}: "
                "model.compile(optimizer='adam', loss='...', metrics=[...])"
            )

    def _trained_variables(self) -> list[Variable]:
        """Return the variables that were trainable at ``compile`` (or when the model was built, if later)."""
        if self._variables_trained is None:
            self._variables_trained = self.trainable_variables
            self._regularized = any(v.regularizer is not None for v in self._variables_trained)
        return self._variables_trained

    def _warn_of_changed_trainable(self) -> None:
        """Say where ``trainable`` was changed since ``compile``: training goes by what it was then."""
        trained = self._variables_trained
        if trained is not None and self.built:
            now = {id(v) for v in self.trainable_variables}
            if len(now) != len(trained) or any(id(v) not in now for v in trained):
                warnings.warn(
                    f"model {self.name!r}: trainable was changed after compile, and fit goes by what it was "
                    "then; compile the model again to let it count", stacklevel=4,
                )

    # ---- one step ------------------------------------------------------------------------------------
    def train_step(self, data):
        """Train on one batch; override it to change what training means.

        Parameters
        ----------
        data : tensor or tuple
            What ``fit`` was given, cut to the batch: ``x`` alone (in a tuple, where it is a list), ``(x, y)``
            or ``(x, y, sample_weight)``. ``keras.utils.unpack_x_y_sample_weight`` always gives three.

        Returns
        -------
        mapping of str to scalar
            The metrics so far, ``"loss"`` among them.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred, gradients = self._differentiate(x, y, sample_weight)
        if gradients:
            self.optimizer.apply(gradients, self._trained_variables())
        else:
            warnings.warn(f"model {self.name!r} has no trainable weights; fit changes nothing", stacklevel=3)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _differentiate(self, x, y, sample_weight):
        """Return the outputs for one batch and the gradients of its loss, which the loss tracker takes."""
        with GradientTape() as tape:
            for variable in self._variables_trained or ():
                if not variable.auto_watch:
                    tape.watch(variable)  # frozen after compile: still trained, as Keras does
            y_pred = self(x, training=True)
            loss = self._loss_of(x, y, y_pred, sample_weight, True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self._trained_variables()
        self._loss_tracker.update_state(Tensor(loss.array), sample_weight=_batch_size(x))
        if not variables:
            return y_pred, []
        places = self.optimizer.gradient_places(variables)
        if not self.optimizer.may_overflow:
            return y_pred, tape.gradient_at(scaled, variables, places)
        with np.errstate(over="ignore", invalid="ignore"):  # the optimizer finds that out, lowers its scale
            return y_pred, tape.gradient_at(scaled, variables, places)

    def _step_function(self):
        """Return what trains on a batch: ``train_step``, or what replays it (``models.captured``)."""
        own = type(self).train_step is not Trainer.train_step
        if self.run_eagerly or own or config.numerics_checked():
            return self.train_step
        if self._captured is None:
            from gpukeras.models.captured import CapturedStep

            self._captured = CapturedStep(self)
        return self._captured

    def _evaluation_function(self):
        """Return what evaluates a batch: ``test_step``, or on a GPU what replays it."""
        own = type(self).test_step is not Trainer.test_step
        if self.run_eagerly or own or config.numerics_checked() or backends.current() is backends.CPU:
            return self.test_step
        if self._captured_evaluation is None:
            from gpukeras.models.captured import CapturedStep

            self._captured_evaluation = CapturedStep(self, evaluation=True)
        return self._captured_evaluation

    def test_step(self, data):
        """Evaluate one batch; returns the metrics so far."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self._loss_of(x, y, y_pred, sample_weight, False)
        self._loss_tracker.update_state(loss, sample_weight=_batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data):
        """Return the outputs for one batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def _loss_of(self, x, y, y_pred, sample_weight, training):
        if type(self).compute_loss is Trainer.compute_loss:
            return self.compute_loss(x, y, y_pred, sample_weight, training)
        arguments = {"x": x, "y": y, "y_pred": y_pred, "sample_weight": sample_weight}
        if _takes_training(type(self)):
            arguments["training"] = training
        return self.compute_loss(**arguments)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of one batch: the compiled loss plus ``add_loss`` and regularization losses.

        Override it to change the loss only.
        """
        total = None
        if self._compile_loss is not None and y_pred is not None:
            if y is None:
                raise ValueError(
                    f"model {self.name!r} was compiled with a loss, but no targets y were given"
                )
            total = self._compile_loss(y, y_pred, sample_weight)
        for extra in self._additional_losses():
            if not isinstance(extra, Tensor):
                extra = ops.convert_to_tensor(extra, dtype=self.compute_dtype)
            extra = ops.sum(extra) if extra.ndim else extra
            total = extra if total is None else total + extra
        if total is None:
            raise ValueError(
                f"model {self.name!r} has no loss to compute: pass loss=... to compile, or call add_loss in "
                "a layer"
            )
        return total

    def _additional_losses(self) -> list:
        """Losses of the last call and of regularized weights; cheap where there are none."""
        self._trained_variables()
        if self._regularized or self._may_have_losses():
            return self.losses
        return []

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics with one batch and return them; override it to add your own."""
        if self._compile_metrics is not None and y is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """Return the metrics so far, by name; they are fetched from the device when first read."""
        return Logs(self._results)

    def _results(self) -> dict:
        """Return the results of all metrics; one that is a dictionary counts with its own names."""
        found: dict = {}
        for metric in self._metric_list():
            result = metric.result()
            if isinstance(result, Mapping):
                found.update(host_values(result))
            else:
                found[metric.name] = result
        return host_values(found)

    def _metric_list(self) -> list:
        """All metrics; gathered once per run, because a walk over all layers is too slow for every step."""
        cached = self.__dict__.get("_metrics_cached")
        if cached is None or not (self._compile_metrics is None or self._compile_metrics.built):
            cached = self.metrics
            if self._compile_metrics is None or self._compile_metrics.built:
                self._metrics_cached = cached
        return cached

    @property
    def metrics(self) -> list:
        """The loss tracker, the compiled metrics, and those of the model's layers and attributes."""
        found = [self._loss_tracker] if self.compiled else []
        if self._compile_loss is not None:
            found += self._compile_loss.metrics
        compiled = self._compile_metrics
        if compiled is not None:
            # Before the first batch nobody knows which metrics "accuracy" stands for: the whole stands for
            # them, so that a train_step that updates every metric of this list can do so from the start.
            found += compiled.metrics if compiled.built else [compiled]
        for layer in self._flatten_layers():
            # Of a nested compiled model only its layers' metrics count, not its own tracker of the loss.
            found += [m for m in layer._own_metrics() if m is not getattr(layer, "_loss_tracker", None)]
        return list({id(m): m for m in found}.values())

    @property
    def metrics_names(self) -> list[str]:
        """Names of the metrics, in the order in which ``evaluate`` returns them."""
        return [m.name for m in self.metrics if m is not self._compile_metrics]

    def reset_metrics(self) -> None:
        """Set all metrics back to their start."""
        for metric in self.metrics:
            metric.reset_state()

    @property
    def compiled_loss(self):
        """The compiled loss as a function of ``(y, y_pred, sample_weight, regularization_losses)``."""
        return self._compile_loss

    @property
    def compiled_metrics(self):
        """The compiled metrics, with ``update_state(y, y_pred, sample_weight)``."""
        return self._compile_metrics or CompiledMetrics(None, None)

    # ---- fit -----------------------------------------------------------------------------------------
    @threads.session()
    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None,
            validation_split=0.0, validation_data=None, shuffle=True, class_weight=None, sample_weight=None,
            initial_epoch=0, steps_per_epoch=None, validation_steps=None, validation_batch_size=None,
            validation_freq=1, max_queue_size=10, workers=1, use_multiprocessing=False):
        """Train for a number of epochs.

        Parameters
        ----------
        x, y : array, list or dictionary of arrays
            Inputs and targets, first axis samples. Data frames and scipy's sparse matrices work; so do a
            generator, a ``PyDataset`` / ``Sequence`` or any iterable of batches as ``x``, without ``y``.
        batch_size : int, optional
            32 where not given.
        epochs : int
            Number of the last epoch.
        verbose : {"auto", 0, 1, 2}
            Silent, progress bar, or one line per epoch.
        callbacks : list of Callback, optional
        validation_split : float
            Part of the samples, cut from the end before shuffling, to validate on.
        validation_data : tuple (x, y) or (x, y, sample_weight), or a data set, optional
        shuffle : bool or "batch"
        class_weight : dict of int to float, optional
        sample_weight : array, optional
        initial_epoch : int
        steps_per_epoch, validation_steps : int, optional
            Batches in an epoch.
        validation_batch_size : int, optional
        validation_freq : int or list of int
            Validate every so many epochs, or after the epochs listed (from 1).
        workers : int
            Threads that make the batches of a ``Sequence``.
        max_queue_size, use_multiprocessing
            Accepted for compatibility; batches are made by threads.

        Returns
        -------
        History
            Its ``history`` maps the names of the metrics to their values by epoch.
        """
        self._need_compile("fit")
        self._warn_of_changed_trainable()
        limit = config.max_epochs()
        if limit is not None and limit < epochs:
            warnings.warn(f"fit trains for {limit} epochs, the limit of config.set_max_epochs", stacklevel=3)
            epochs = limit
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = split_validation(x, y, sample_weight, validation_split)
        source = make_source(x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight, "fit",
                             workers)
        validation = None
        if validation_data is not None:
            vx, vy, vw = validation_parts(validation_data)
            validation = make_source(vx, vy, vw, validation_batch_size or batch_size, validation_steps,
                                     what="validation_data", workers=workers)
        verbose = 1 if verbose == "auto" else int(verbose)
        runner = self._callback_list(callbacks, verbose, epochs=epochs, steps=source.steps, history=True)
        self.stop_training = False
        self._metrics_cached = None
        runner.on_train_begin()
        logs: dict = {}
        every = self.steps_per_execution
        try:
            for epoch in range(initial_epoch, epochs):
                self.reset_metrics()
                runner.on_epoch_begin(epoch)
                logs, step = self._train_epoch(source, runner, every)
                source.on_epoch_end()
                if source.steps is None:
                    source.steps = runner.params["steps"] = step
                logs = host_values(logs)
                if validation is not None and _validates(epoch, validation_freq):
                    found = self._evaluate_source(validation, runner)
                    logs.update({f"val_{name}": value for name, value in found.items()})
                runner.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        finally:
            self._metrics_cached = None
            backends.CPU.release_memory()
        if self.optimizer is not None:
            self.optimizer.finalize_variable_values(self._trained_variables())
        runner.on_train_end(logs)
        return self.history

    def _train_epoch(self, source, runner, every: int):
        """Train on all batches of one epoch; return the last logs and the number of batches."""
        logs: Mapping = {}
        step = 0
        train_step = self._step_function()
        source.places = getattr(train_step, "places", {})
        begins, ends = runner.wants("on_train_batch_begin"), runner.wants("on_train_batch_end")
        for step, data in enumerate(source, 1):
            if begins and (every == 1 or step % every == 1):
                runner.on_train_batch_begin(step - 1)
            logs = flat_logs(train_step(pack_x_y_sample_weight(*data)))
            if ends and (every == 1 or step % every == 0 or step == source.steps):
                runner.on_train_batch_end(step - 1, logs)
            if self.stop_training:
                break
        if not step:
            raise ValueError("fit: the data gave no batch at all; the generator is empty or used up")
        if not isinstance(logs, Mapping):
            raise TypeError(
                "train_step must return a dictionary of metrics, e.g. {'loss': loss}; came "
                f"{type(logs).__name__}"
            )
        return logs, step

    def _callback_list(self, callbacks, verbose, epochs=1, steps=None, history=False):
        from gpukeras.callbacks import CallbackList

        if isinstance(callbacks, CallbackList):
            return callbacks
        return CallbackList(callbacks, add_history=history, add_progbar=verbose != 0, model=self,
                            verbose=verbose, epochs=epochs, steps=steps)

    # ---- evaluate and predict ------------------------------------------------------------------------
    @threads.session()
    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None,
                 callbacks=None, return_dict=False, max_queue_size=10, workers=1, use_multiprocessing=False,
                 **kwargs):
        """Return the loss and the metrics on some data, in test mode.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, steps, callbacks
            As for ``fit``.
        return_dict : bool
            Return a dictionary by name instead of a list (or a single number, where there is only the loss).
        """
        kwargs.pop("_use_cached_eval_dataset", None)
        if kwargs:
            raise TypeError(f"evaluate: unknown arguments {sorted(kwargs)}")
        self._need_compile("evaluate")
        source = make_source(x, y, sample_weight, batch_size, steps, what="evaluate", workers=workers)
        verbose = 1 if verbose == "auto" else int(verbose)
        runner = self._callback_list(callbacks, verbose, steps=source.steps)
        self._metrics_cached = None
        logs = self._evaluate_source(source, runner)
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    def _evaluate_source(self, source, runner) -> dict:
        self.stop_evaluating = False
        self.reset_metrics()
        runner.on_test_begin()
        logs: Mapping = {}
        step = 0
        test_step, every = self._evaluation_function(), self.steps_per_execution
        with autograd.no_recording():
            for step, data in enumerate(source, 1):
                if every == 1 or step % every == 1:
                    runner.on_test_batch_begin(step - 1)
                logs = flat_logs(test_step(pack_x_y_sample_weight(*data)))
                if every == 1 or step % every == 0 or step == source.steps:
                    runner.on_test_batch_end(step - 1, logs)
                if self.stop_evaluating:
                    break
        if not step:
            raise ValueError("evaluate: the data gave no batch at all; the generator is empty or used up")
        logs = host_values(logs or {})
        runner.on_test_end(logs)
        return logs

    @threads.session()
    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, max_queue_size=10,
                workers=1, use_multiprocessing=False):
        """Return the outputs for some inputs as NumPy arrays.

        Parameters
        ----------
        x, batch_size, verbose, steps, callbacks
            As for ``fit``.

        Returns
        -------
        numpy.ndarray or a structure of them like the model's outputs
        """
        source = make_source(x, batch_size=batch_size, steps=steps, what="predict", workers=workers)
        verbose = 1 if verbose == "auto" else int(verbose)
        runner = self._callback_list(callbacks, verbose, steps=source.steps)
        self.stop_predicting = False
        runner.on_predict_begin()
        pace = set_pace(self, source, runner)
        collected: list[list] = []
        structure = None
        with autograd.no_recording():
            for number, data in enumerate(source):
                runner.on_predict_batch_begin(pace.first(number))
                structure = self.predict_step(pack_x_y_sample_weight(*data))
                outputs = [_on_host(t) for t in tree.flatten(structure)]
                collected.append(outputs)
                runner.on_predict_batch_end(pace.last(number), {"outputs": structure})
                if self.stop_predicting:
                    break
        runner.on_predict_end()
        if not collected:
            raise ValueError("predict: the data gave no batch at all; the generator is empty or used up")
        if len(collected) == 1:
            joined = [np.array(a) for a in collected[0]]
        else:
            joined = [np.concatenate(column) for column in zip(*collected)]
        return tree.pack_sequence_as(structure, joined)


# ---- helpers -----------------------------------------------------------------------------------------
def _on_host(output) -> np.ndarray:
    if isinstance(output, StringTensor):
        return np.asarray(output)
    return output.backend.to_numpy(output.array) if isinstance(output, Tensor) else np.asarray(output)


def flat_logs(logs):
    """Return what a train or test step returned; metrics that are dictionaries count with their own names."""
    if type(logs) is dict and any(isinstance(v, Mapping) for v in logs.values()):
        flat: dict = {}
        for name, value in logs.items():
            flat.update(value if isinstance(value, Mapping) else {name: value})
        return flat
    return logs


def _batch_size(x) -> int:
    leaf = x if isinstance(x, Tensor) else tree.flatten(x)[0]
    return leaf.shape[0] if isinstance(leaf, Tensor) and leaf.ndim else 1


_training_accepted: dict[type, bool] = {}


def _takes_training(cls) -> bool:
    """Tell whether an overridden ``compute_loss`` takes ``training`` (older ones do not)."""
    if cls not in _training_accepted:
        parameters = inspect.signature(cls.compute_loss).parameters
        _training_accepted[cls] = "training" in parameters or any(
            p.kind is p.VAR_KEYWORD for p in parameters.values())
    return _training_accepted[cls]


def _validates(epoch: int, frequency) -> bool:
    if isinstance(frequency, (list, tuple, set)):
        return epoch + 1 in frequency
    return (epoch + 1) % int(frequency) == 0
