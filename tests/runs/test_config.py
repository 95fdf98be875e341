"""The config of a run: written and read back to the same value, or a sentence that names the field."""

import dataclasses
import json

import pytest

from gdjax.runs import ConfigError, DataConfig, RunConfig

CONFIG = RunConfig(
    command="gdjax train t.csv",
    data=DataConfig(
        source="t.csv",
        reading={"target": "y", "missing": ["-999"], "header": False},
        name="t",
        hash="0123456789abcdef",
        target="y",
        task="classification",
        split=(0.7, 0.15, 0.15),
        rows={"train": 70, "validation": 15, "test": 15},
        columns=("a", "b"),
        numbers="standardized",
        target_names=("no", "yes"),
    ),
    model="mlp((2, 3, 2))",
    loss="hinge",
    optimizer="adam(0.001)",
    weight_decay=0.3,
    class_weights=(1.0, 2.5),
    threshold=None,
    folds=0,
    stop="patience(20)",
    batch_size=64,
    epochs=2.5,
    steps=None,
    every=7,
    seed=3,
    dtype="float32",
    flow=True,
    started="2026-01-02T03:04:05+00:00",
    versions={"jax": "0.10.2", "optax": None},
    platform="Linux",
    device="cpu: cpu",
    git_revision=None,
)


def through_json(fields):
    return RunConfig.from_json(json.loads(json.dumps(fields)))


def test_there_and_back():
    assert through_json(CONFIG.to_json()) == CONFIG and CONFIG.to_json()["version"] == 2
    other = dataclasses.replace(CONFIG, epochs=None, steps=12, git_revision="abc", seed=4)
    assert through_json(other.to_json()) == other != CONFIG
    earlier = {name: value for name, value in CONFIG.to_json().items() if name not in ("split_seed", "order")}
    assert through_json(earlier).split_seed == CONFIG.seed == 3 and through_json(earlier).order == "shuffle"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"version": 3},
            "of version 3, this gdjax reads version 2: use the gdjax that wrote it .its version is not said",
        ),
        ({"version": 1, "versions": {"gdjax": "9.1"}}, "use the gdjax that wrote it .9.1., or train again"),
        ({"version": "2"}, "version must be a whole number, got '2'"),
        ({"optimiser": "adam()"}, "no field optimiser: did you mean 'optimizer'?"),
        ({"data": {**CONFIG.to_json()["data"], "color": 3}}, "no field data.color: one of source, reading"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"flow": 1}, "flow must be true or false, got 1"),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float64, got 'int8'"),
        ({"data": 7}, "data must be an object, got 7"),
        ({"data": {**CONFIG.to_json()["data"], "rows": {"train": "x"}}}, "data.rows.train must be a whole number"),
        ({"data": {**CONFIG.to_json()["data"], "columns": ["a", 2]}}, r"data.columns\[1\] must be a text"),
        ({"data": {**CONFIG.to_json()["data"], "split": 0.7}}, "data.split must be a list, got 0.7"),
        ({"batch_size": "x" * 5000}, "batch_size must be a whole number, got 'xxx"),
    ],
)
def test_what_is_wrong_is_named(change, said):
    fields = {**CONFIG.to_json(), **change}
    with pytest.raises(ConfigError, match=said) as error:
        through_json(fields)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(RunConfig) if field.default is dataclasses.MISSING]
)
def test_every_field_that_has_no_default_must_be_there(name):
    fields = CONFIG.to_json()
    del fields[name]
    with pytest.raises(ConfigError, match=f"the field {name} is missing"):
        through_json(fields)
