"""The era switch: older releases' parameters, in their order and with their defaults."""

import inspect

import pytest
from support import contracts

import gpukeras as keras
from gpukeras import compat

from . import make_eras


def test_the_table_is_what_the_contracts_say():
    stored = make_eras.TARGET.read_text(encoding="utf-8")
    assert stored == make_eras.text(), "run tests/contracts/make_eras.py"


def test_defaults_of_an_era():
    assert keras.layers.GRU(3).reset_after
    with compat.era_scope("keras2"):
        assert compat.era() == "keras224"
        assert not keras.layers.GRU(3).reset_after
        assert keras.layers.LSTM(3).get_config()["recurrent_activation"] == "hard_sigmoid"
        assert keras.optimizers.get("adagrad").get_config()["initial_accumulator_value"] == 0.0
        assert float(keras.optimizers.Nadam().learning_rate) == pytest.approx(0.002)
        assert keras.regularizers.l1_l2().l1 == pytest.approx(0.01)
        assert keras.regularizers.L1L2().l1 == 0.0
        with compat.era_scope("keras231"):
            assert keras.layers.LSTM(3).get_config()["recurrent_activation"] == "sigmoid"
        assert keras.layers.LSTM(3).get_config()["recurrent_activation"] == "hard_sigmoid"
    assert compat.era() == "keras3"
    assert keras.layers.GRU(3).reset_after


def test_order_of_an_era():
    with compat.era_scope("keras224"):
        sgd = keras.optimizers.SGD(0.1, 0.9, 1e-4, True)
        assert (sgd.decay, sgd.momentum, sgd.nesterov) == (1e-4, 0.9, True)
        with pytest.raises(TypeError, match="takes 4 arguments by position in era 'keras224'"):
            keras.optimizers.SGD(0.1, 0.9, 1e-4, True, None)
        with pytest.raises(TypeError, match="'momentum' is given twice"):
            keras.optimizers.SGD(0.1, 0.9, momentum=0.5)
    assert keras.optimizers.SGD(0.1, 0.9, True).nesterov


def test_help_shows_the_parameters_of_the_era():
    today = inspect.signature(keras.layers.GRU)
    for era in ("keras224", "keras231", "tfkeras2"):
        with compat.era_scope(era):
            shown = inspect.signature(keras.layers.GRU)
            expected = contracts.parameters(contracts.symbols(era)["layers.GRU"])
            found = {p.name: p.default for p in shown.parameters.values() if p.name != "kwargs"}
            assert found == {n: inspect.Parameter.empty if d is contracts.REQUIRED else d
                             for n, d in expected.items()}
    assert inspect.signature(keras.layers.GRU) == today


def test_classes_made_of_ours_follow_the_era():
    class Mine(keras.layers.LSTM):
        def __init__(self, units, **kwargs):
            super().__init__(units, **kwargs)

    with compat.era_scope("keras2"):
        assert Mine(2).get_config()["recurrent_activation"] == "hard_sigmoid"
        assert keras.layers.Bidirectional(Mine(2)).backward_layer.get_config()["recurrent_activation"] == (
            "hard_sigmoid")
    assert Mine(2).get_config()["recurrent_activation"] == "sigmoid"


def test_hard_sigmoid_before_keras_3():
    x = keras.ops.convert_to_tensor([-2.0, 1.0, 2.6])
    with compat.era_scope("tfkeras2"):
        layer = keras.layers.Activation("hard_sigmoid")
        assert layer(x).numpy().tolist() == pytest.approx([0.1, 0.7, 1.0])
        assert keras.activations.hard_sigmoid(x).numpy().tolist() == pytest.approx([0.1, 0.7, 1.0])
        assert layer.get_config()["activation"] == "hard_sigmoid"
    assert layer(x).numpy().tolist() == pytest.approx([0.1, 0.7, 1.0]), "what exists keeps its meaning"
    today = keras.activations.get("hard_sigmoid")
    assert today(x).numpy().tolist() == pytest.approx([1 / 6, 2 / 3, 2.8 / 3])


def test_an_unknown_era():
    with pytest.raises(ValueError, match="unknown era 'keras1'; known are keras2, keras224"):
        compat.set_era("keras1")
