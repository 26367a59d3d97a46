"""The pool of threads and the BLAS: who has the cores, what is left behind, what other processes see."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import gpukeras as keras
from gpukeras.backends import threads
from gpukeras.backends.blas import Blas

ROOT = Path(__file__).resolve().parents[2]


class FakeBlas:
    """Counts threads as a BLAS does."""

    def __init__(self, count=2):
        self.count = count
        self.history = []

    def set_threads(self, count):
        self.count = count
        self.history.append(count)

    def get_threads(self):
        return self.count


@pytest.fixture
def blas(monkeypatch):
    """A machine with two cores whose BLAS is a fake, and a pool of its own."""
    fake = FakeBlas()
    monkeypatch.setattr(threads, "_BLAS", threads._Holder(fake))
    monkeypatch.setattr(threads, "_POOL", threads._Pool())
    monkeypatch.setattr(threads, "_chosen", 2)
    return fake


def small_model(width=4):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(width, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def batch(count=8):
    return np.ones((count, 3), "float32"), np.ones((count, 1), "float32")


# ---- how many -------------------------------------------------------------------------------------
def test_set_threads_reaches_the_blas_and_none_is_the_default(blas, monkeypatch):
    monkeypatch.setenv("GPUKERAS_NUM_THREADS", "3")
    keras.config.set_threads(5)
    assert (keras.config.get_threads(), blas.count) == (5, 5)
    keras.config.set_threads(np.int64(1))
    assert (keras.config.get_threads(), blas.count) == (1, 1)
    keras.config.set_threads(None)
    assert (keras.config.get_threads(), blas.count) == (3, 3)


@pytest.mark.parametrize("count", [0, -1, 1.5, 2.0, "2", True, [2]])
def test_set_threads_refuses(blas, count):
    with pytest.raises(ValueError, match="whole number"):
        keras.config.set_threads(count)
    assert keras.config.get_threads() == 2


@pytest.mark.parametrize("own, others, cores, expected", [
    ("7", "2", 4, 7),
    ("", "2", 4, 2),
    ("", "64", 4, 4),  # more than there are
    ("", "4,2", 4, 4),  # OpenMP's list for nested regions: not a number of threads for us
    ("", "", 4, 4),
    ("", "", 64, threads.LIMIT),
])
def test_the_default_comes_from_the_environment_or_the_cores(monkeypatch, own, others, cores, expected):
    for name in threads.OTHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GPUKERAS_NUM_THREADS", own)
    monkeypatch.setenv("OMP_NUM_THREADS", others)
    monkeypatch.setattr(threads, "_cores", lambda: cores)
    assert threads._default_threads() == expected


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_wrong_environment_variable_is_named(monkeypatch, value):
    monkeypatch.setenv("GPUKERAS_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"GPUKERAS_NUM_THREADS.*{value}"):
        threads._default_threads()


# ---- parts ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("count, seconds, least, finer, lengths", [
    (10, 1.0, 1, 1, [5, 5]),
    (11, 1.0, 1, 2, [2, 3, 3, 3]),
    (1000, 1e-3, 1, 1, [525, 475]),  # the caller begins 50 microseconds before the other thread
    (1000, 1e-3, 1, 2, [250, 250, 250, 250]),
    (10, threads.WORTH / 2, 1, 1, [10]),
    (10, 1.0, 6, 1, [10]),
    (1, 1.0, 1, 1, [1]),
    (0, 1.0, 1, 1, [0]),
])
def test_split(blas, count, seconds, least, finer, lengths):
    parts = threads.split(count, seconds, least, finer)
    assert [stop - start for start, stop in parts] == lengths
    assert parts[0][0] == 0 and parts[-1][1] == count
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:]))


def test_parts_run_once_each_and_on_two_threads(blas):
    ran, on = [], set()

    def part(i):
        time.sleep(0.02)
        ran.append(i)
        on.add(threading.get_ident())
        assert blas.count == 1

    threads.parallel(part, [(i,) for i in range(4)])
    assert sorted(ran) == [0, 1, 2, 3]
    assert len(on) == 2 and threading.get_ident() in on
    assert blas.count == 2


def test_results_do_not_depend_on_who_ran_what(blas):
    x = np.arange(40_000, dtype="float32")
    y = np.empty_like(x)
    for _ in range(200):
        y[...] = 0
        threads.parallel(lambda a, b: np.sqrt(x[a:b], out=y[a:b]), threads.split(x.size, 1.0, finer=3))
        np.testing.assert_array_equal(y, np.sqrt(x))


def test_inside_a_part_nothing_is_split_again(blas):
    seen = []

    def part(i):
        seen.append(len(threads.split(100, 1.0)))
        threads.parallel(lambda j: seen.append(threading.get_ident() == me), [(0,), (1,)])

    me = threading.get_ident()
    threads.parallel(part, [(0,)])  # one part: not inside
    assert seen.pop(0) == 2 and len(seen) == 2
    seen.clear()

    def inner(i):
        here = threading.get_ident()
        threads.parallel(lambda j: seen.append(threading.get_ident() == here), [(0,), (1,)])
        seen.append(len(threads.split(100, 1.0)) == 1)

    threads.parallel(inner, [(0,), (1,), (2,)])
    assert seen == [True] * 9
    assert len(threads.split(100, 1.0)) == 2


def test_a_second_python_thread_runs_its_parts_by_itself(blas):
    inside, leave, ran = threading.Event(), threading.Event(), []

    def wait(i):
        inside.set()
        assert leave.wait(10)

    first = threading.Thread(target=threads.parallel, args=(wait, [(0,), (1,)]))
    first.start()
    assert inside.wait(10)
    threads.parallel(lambda i: ran.append(threading.get_ident()), [(0,), (1,)])
    leave.set()
    first.join(10)
    assert ran == [threading.get_ident()] * 2
    assert blas.count == 2


def test_parts_see_the_error_state_of_the_caller(blas):
    zeros = np.zeros(1000, "float32")

    def part(i):
        time.sleep(0.02)
        np.divide(1, zeros)

    with np.errstate(divide="ignore"):
        threads.parallel(part, [(0,), (1,), (2,)])
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        threads.parallel(part, [(0,), (1,), (2,)])


# ---- what goes wrong ------------------------------------------------------------------------------
@pytest.mark.parametrize("in_pool", [False, True])
def test_an_exception_ends_the_rest_and_leaves_the_pool_whole(blas, in_pool):
    main, ran = threading.get_ident(), []

    def part(i):
        time.sleep(0.02)
        if (threading.get_ident() != main) == in_pool:
            raise KeyError("part")
        ran.append(i)

    with pytest.raises(KeyError, match="part"):
        threads.parallel(part, [(i,) for i in range(20)])
    assert len(ran) < 10
    assert blas.count == 2
    test_parts_run_once_each_and_on_two_threads(blas)


@pytest.mark.parametrize("where", ["part", "wait"])
def test_an_interrupt_waits_for_the_parts_at_work(blas, where):
    main, ended = threading.get_ident(), []
    began = threading.Event()

    def part(i):
        if threading.get_ident() == main:
            assert began.wait(10)
            if where == "part":
                signal.raise_signal(signal.SIGINT)
        else:
            began.set()
            time.sleep(0.02)
            if where == "wait":
                _thread.interrupt_main()
            time.sleep(0.05)
            ended.append(i)

    with pytest.raises(KeyboardInterrupt):
        threads.parallel(part, [(0,), (1,)])
    assert len(ended) == 1
    assert blas.count == 2
    test_parts_run_once_each_and_on_two_threads(blas)


def test_without_more_threads_the_caller_does_it_all(blas, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ran = []
    threads.parallel(ran.append, [(0,), (1,)])
    assert ran == [0, 1]


# ---- sessions -------------------------------------------------------------------------------------
def test_the_blas_has_one_thread_in_sessions_and_its_own_afterwards(blas):
    assert not threads.pool_owns()
    with threads.session():
        with threads.session():
            assert blas.count == 1 and threads.pool_owns()
        assert blas.count == 1
        threads.parallel(lambda i: None, [(0,), (1,)])
        assert blas.count == 1
    assert blas.count == 2 and not threads.pool_owns()
    assert blas.history == [1, 2]


def test_a_session_that_an_interrupt_kept_from_ending_ends_with_its_object(blas):
    session = threads.session()
    session.__enter__()  # and the interrupt comes before the block
    with threads.session():
        del session
        assert blas.count == 1 and threads.pool_owns()
    assert blas.count == 2 and not threads.pool_owns()


def test_a_decorated_function_may_call_itself(blas):
    @threads.session()
    def count_down(n):
        assert blas.count == 1
        return count_down(n - 1) if n else threads.pool_owns()

    assert count_down(3) is True
    assert blas.count == 2 and not threads.pool_owns()


def test_set_threads_in_a_session_counts_after_it(blas):
    with threads.session():
        keras.config.set_threads(3)
        assert blas.count == 1
    assert blas.count == 3


class Stop(keras.callbacks.Callback):
    """Raises in the middle."""

    def on_train_batch_end(self, batch, logs=None):
        raise OSError("stop")

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


class Watch(keras.callbacks.Callback):
    """Notes the threads of the BLAS while the model runs."""

    def __init__(self, blas):
        super().__init__()
        self.blas, self.seen = blas, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.blas.count)

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


def test_fit_evaluate_and_predict_give_the_blas_back(blas):
    model, (x, y) = small_model(), batch()
    watch = Watch(blas)
    model.fit(x, y, verbose=0, callbacks=[watch], validation_data=(x, y))
    model.evaluate(x, y, verbose=0, callbacks=[watch])
    model.predict(x, verbose=0, callbacks=[watch])
    assert watch.seen == [1] * 4 and blas.count == 2
    for call in (model.train_on_batch, model.test_on_batch):
        call(x, y)
        assert blas.count == 2
    model.predict_on_batch(x)
    assert blas.count == 2
    for call in (lambda **k: model.fit(x, y, **k), lambda **k: model.evaluate(x, y, **k),
                 lambda **k: model.predict(x, **k)):
        with pytest.raises(OSError, match="stop"):
            call(verbose=0, callbacks=[Stop()])
        assert blas.count == 2


def test_a_tape_is_a_session_too(blas):
    model, x = small_model(), batch()[0]
    with keras.GradientTape(persistent=True) as tape:
        assert blas.count == 1
        loss = keras.ops.sum(model(x))
    assert blas.count == 2
    tape.gradient(loss, model.trainable_variables)
    assert blas.history == [1, 2, 1, 2]
    with pytest.raises(OSError, match="stop"), keras.GradientTape():
        raise OSError("stop")
    assert blas.count == 2 and not threads.pool_owns()


def test_two_fits_in_two_python_threads(blas, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 0)
    models, (x, y) = [small_model(64), small_model(64)], batch(64)
    problems = []

    def train(model):
        try:
            model.fit(x, y, epochs=20, verbose=0)
        except BaseException as problem:
            problems.append(problem)

    running = [threading.Thread(target=train, args=(m,)) for m in models]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert not problems
    assert all(np.isfinite(m.history.history["loss"]).all() for m in models)
    assert blas.count == 2 and not threads.pool_owns()


# ---- which BLAS -----------------------------------------------------------------------------------
def test_without_a_blas_to_control_nothing_is_split(monkeypatch):
    """As with Accelerate on a Mac: it has threads of its own, and the pool must not come on top of them."""
    monkeypatch.setattr(threads, "_BLAS", threads._Holder(Blas()))
    monkeypatch.setattr(threads, "_chosen", 2)
    ran = []
    assert threads.split(10, 1.0) == [(0, 10)]
    threads.parallel(lambda i: ran.append(threading.get_ident()), [(0,), (1,)])
    assert ran == [threading.get_ident()] * 2
    model, (x, y) = small_model(), batch()
    model.fit(x, y, verbose=0)
    keras.config.set_threads(2)


# ---- other processes ------------------------------------------------------------------------------
FIT = """
import sys, warnings
import numpy as np
import gpukeras as keras
from gpukeras.backends import threads

def fit(count=None):
    threads.WORTH = 0
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.ones((64, 8), "float32")
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    ran = set()
    threads.parallel(lambda i: ran.add(threading.get_ident()), [(i,) for i in range(50)])
    return keras.config.get_threads(), len(ran)

import threading
"""


def run(code, **environment):
    """Run code after FIT in a process without limits in its environment; return what it prints."""
    kept = {k: v for k, v in os.environ.items() if k not in threads.OTHER_VARIABLES}
    kept |= {"PYTHONPATH": str(ROOT), "GPUKERAS_DEVICE": "cpu", **environment}
    done = subprocess.run([sys.executable, "-c", FIT + code], env=kept, capture_output=True, text=True,
                          timeout=120)
    assert not done.returncode, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_worker_has_one_thread_and_a_pool_that_works():
    found = run("""
import multiprocessing, os
warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads
threads.set_threads(2)
print(fit())
with threads.session(), multiprocessing.get_context("fork").Pool(2) as pool:
    print(*pool.map(fit, range(4)))
print(fit())
child = os.fork()
if not child:
    print(fit(), flush=True)
    threads.set_threads(2)
    threads.parallel(lambda i: None, [(0,), (1,)])
    print(len(threads._POOL.bells), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""")
    assert found[0].startswith("(2, ")
    assert found[1:] == [" ".join(["(1, 1)"] * 4), found[2], "(1, 1)", "1"]
    assert found[2].startswith("(2, ")


def test_a_spawned_worker_has_one_thread(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FIT + """
import multiprocessing
if __name__ == "__main__":
    threads.set_threads(2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.map(fit, range(2)))
""")
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    found = run(code)
    assert found == ["(1, 1) (1, 1)"]


@pytest.mark.parametrize("method", ["loky", "multiprocessing"])
def test_joblib_workers_have_one_thread_each(tmp_path, method):
    pytest.importorskip("joblib")
    (tmp_path / "worker.py").write_text(FIT)
    found = run(f"""
import joblib, sys
warnings.simplefilter("ignore")
sys.path.insert(0, {str(tmp_path)!r})
import worker
jobs = joblib.Parallel(n_jobs=2, backend={method!r})
print(*set(count for count, _ in jobs(joblib.delayed(worker.fit)(i) for i in range(3))))
""", PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    count = max(1, threads._cores() // 2) if method == "loky" else 1  # loky shares the cores evenly
    assert found == [str(count)]
