"""Logs: fetched when read and not before, old spellings, everything a dictionary does."""

import copy
import json
import pickle

import numpy as np
import pytest

from gpukeras import ops
from gpukeras.callbacks import Logs
from gpukeras.callbacks.logs import find_spelling, host_values


def lazy():
    calls = []

    def fetch():
        calls.append(1)
        return {"loss": 0.5, "accuracy": 0.75}

    return Logs(fetch), calls


READS = [
    lambda d: d["loss"], lambda d: d.get("loss"), lambda d: list(d), len, lambda d: "loss" in d, repr, str,
    lambda d: list(d.items()), lambda d: list(d.keys()), lambda d: list(d.values()), dict, lambda d: {**d},
    json.dumps, lambda d: d == {}, lambda d: d != {}, lambda d: d.copy(), lambda d: d | {}, lambda d: {} | d,
    lambda d: (lambda **kw: kw)(**d), lambda d: "{loss}".format_map(d), pickle.dumps, copy.deepcopy,
    lambda d: d.pop("loss"), lambda d: d.setdefault("loss", 1), lambda d: {}.update(d), sorted,
]


@pytest.mark.parametrize("read", READS)
def test_every_way_to_read_fetches_once(read):
    logs, calls = lazy()
    assert logs.pending and not calls
    read(logs)
    assert calls == [1] and not logs.pending
    logs.get("accuracy")
    assert calls == [1]


@pytest.mark.parametrize(
    "use", [bool, lambda d: d or {}, lambda d: isinstance(d, dict), lambda d: d.update(x=1)]
)
def test_these_do_not_fetch(use):
    logs, calls = lazy()
    use(logs)
    assert not calls


def test_contents_after_any_first_read():
    expected = {"loss": 0.5, "accuracy": 0.75}
    def through_json(d):
        return json.loads(json.dumps(d))

    for read in (dict, lambda d: {**d}, through_json, lambda d: d.copy(), copy.deepcopy):
        logs, _ = lazy()
        assert read(logs) == expected
    logs, _ = lazy()
    assert pickle.loads(pickle.dumps(logs)) == expected
    logs, _ = lazy()
    assert len(logs) == 2 and (lambda **kw: kw)(**lazy()[0]) == expected


def test_what_was_written_before_the_fetch_stays():
    logs, _ = lazy()
    logs["loss"] = 9.0
    logs["extra"] = 1
    assert list(logs.items()) == [("loss", 9.0), ("accuracy", 0.75), ("extra", 1)]
    del logs["extra"]
    assert "extra" not in logs


def test_spellings():
    logs = Logs({"accuracy": 1, "val_accuracy": 2, "out_mae": 3, "learning_rate": 4})
    assert (logs["acc"], logs["val_acc"], logs["out_mean_absolute_error"], logs["lr"]) == (1, 2, 3, 4)
    assert logs.get("acc") == 1 and "val_acc" in logs and list(logs) == list(dict(logs))
    assert Logs({"acc": 5})["accuracy"] == 5
    assert Logs({"acc": 5, "accuracy": 6})["acc"] == 5
    assert logs.get("auc", "none") == "none" and 3 not in logs
    with pytest.raises(KeyError, match="tacc"):
        logs["tacc"]
    assert find_spelling("lr", {"learning_rate"}) == "learning_rate"
    assert find_spelling(3, {"a"}) is None


def test_empty():
    assert not Logs() and len(Logs()) == 0 and Logs(None) == {}
    assert not Logs(lambda: {}).keys()


def test_host_values(backend):
    found = host_values({"a": ops.convert_to_tensor(2.0), "b": np.float32(3), "c": ops.zeros(2), "d": "text"})
    assert type(found["a"]) is float and type(found["b"]) is float and isinstance(found["c"], np.ndarray)
    assert (found["a"], found["b"], found["d"]) == (2.0, 3.0, "text")
