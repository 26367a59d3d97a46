"""CSVLogger: columns, appending, missing values."""

from pathlib import Path

import numpy as np
import pytest
from support.fakes import run

from gpukeras.callbacks import CSVLogger


def lines(path):
    return Path(path).read_text().splitlines()


def test_file(tmp_path):
    path = tmp_path / "log.csv"
    run([CSVLogger(path)], [{"loss": 2.0, "acc": 0.5, "val_loss": 3.0}, {"loss": 1.0, "acc": 0.75}])
    assert lines(path) == ["epoch,acc,loss,val_loss", "0,0.5,2.0,3.0", "1,0.75,1.0,NA"]


def test_validation_may_come_later(tmp_path):
    path = tmp_path / "log.csv"
    run([CSVLogger(path, separator=";")], [{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}])
    assert lines(path) == ["epoch;loss;val_loss", "0;2.0;NA", "1;1.0;3.0"]


def test_append(tmp_path):
    path = tmp_path / "log.csv"
    for _ in range(2):
        run([CSVLogger(str(path), append=True)], [{"loss": 1.0, "val_loss": 1.0}])
    assert lines(path) == ["epoch,loss,val_loss", "0,1.0,1.0", "0,1.0,1.0"]
    run([CSVLogger(path)], [{"loss": 2.0, "val_loss": 1.0}])
    assert lines(path) == ["epoch,loss,val_loss", "0,2.0,1.0"]


def test_one_object_for_two_runs_and_values_that_are_lists(tmp_path):
    callback = CSVLogger(tmp_path / "log.csv")
    run([callback], [{"loss": 1.0, "val_loss": 0}])
    run([callback], [{"loss": np.array([1, 2]), "val_loss": "x"}])
    assert lines(tmp_path / "log.csv") == ["epoch,loss,val_loss", '0,"[1, 2]",x']


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        run([CSVLogger(tmp_path / "no" / "log.csv")], [{"loss": 1.0}])
