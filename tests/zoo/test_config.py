"""Configurations refuse what they do not know and survive JSON."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.config import AbstractConfig
from mutoscope.zoo.errors import ConfigError, MutoscopeError


@dataclass(frozen=True, kw_only=True)
class Example(AbstractConfig):
    shape: tuple[int, int, int] = (1, 2, 3)
    widths: tuple[int, ...] = ()
    rate: float = 0.5
    count: int = 3
    name: str = "plain"
    kind: Literal["first", "second"] = "first"
    limit: float | None = None
    enabled: bool = False

    def check(self) -> None:
        self.require(0 < self.rate < 1, "rate", "strictly between 0 and 1")


def test_json_round_trip() -> None:
    config = Example(widths=(4, 5), limit=2.5, kind="second", enabled=True)
    restored = Example.from_dict(json.loads(json.dumps(config.to_dict())))
    assert restored == config
    assert isinstance(restored.widths, tuple)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"control": "double", "rotation": "penalised", "slab": "signed", "reject_zero": True},
        {"time_dependent": True, "hamilton_jacobi": 0.1, "kl": "paper", "method": "dopri5"},
    ],
)
def test_model_configurations_round_trip(options: dict[str, Any]) -> None:
    config = SparseTransformation.Config(image_shape=(3, 8, 9), **options)
    text = json.dumps(config.to_dict(), allow_nan=False)
    assert SparseTransformation.Config.from_dict(json.loads(text)) == config


@pytest.mark.parametrize(("key", "near"), [("rates", "rate"), ("shap", "shape"), ("Kind", "kind")])
def test_unknown_keys_name_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"no key '{key}'. Did you mean '{near}'"):
        Example.from_dict({key: 1})


def test_far_off_keys_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Known keys: shape, widths, rate"):
        Example.from_dict({"zzzzzz": 1})


@pytest.mark.parametrize(
    "values",
    [
        {"rate": "0.5"},
        {"rate": None},
        {"rate": True},
        {"rate": math.nan},
        {"rate": math.inf},
        {"count": 2.0},
        {"count": True},
        {"name": 3},
        {"kind": "third"},
        {"kind": ["first"]},
        {"shape": (1, 2)},
        {"shape": (1, 2, 3.0)},
        {"shape": 3},
        {"widths": ("a",)},
        {"limit": math.nan},
        {"limit": "none"},
        {"enabled": 1},
    ],
)
def test_wrong_types_are_refused(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(ConfigError, match=f"Example: {name}="):
        Example.from_dict(values)


def test_whole_numbers_pass_for_floats() -> None:
    assert Example(limit=2).limit == 2


@pytest.mark.parametrize("rate", [0.0, 1.0, -3.0])
def test_values_out_of_range_are_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match=r"rate=.*must be strictly between 0 and 1"):
        Example(rate=rate)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_shape", (1, 0, 8)),
        ("length", 1),
        ("num_fields", 0),
        ("latent_dim", -1),
        ("initial", 0.0),
        ("stay", 1.0),
        ("slab_scale", 0.0),
        ("steps_per_frame", 0),
        ("hamilton_jacobi", -1.0),
        ("hamilton_jacobi", 0.5),
        ("method", "rk5"),
    ],
)
def test_model_values_out_of_range_are_refused(name: str, value: object) -> None:
    options: dict[str, Any] = {"image_shape": (1, 8, 8), name: value}
    with pytest.raises(ConfigError, match=f"{name}="):
        SparseTransformation.Config(**options)


def test_configurations_are_frozen_and_take_keywords_only() -> None:
    config = Example()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.rate = 0.1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Example((1, 2, 3))  # type: ignore[misc]
    assert hash(config) == hash(Example())


def test_errors_are_of_one_family() -> None:
    assert issubclass(ConfigError, MutoscopeError)
    assert issubclass(ConfigError, ValueError)
