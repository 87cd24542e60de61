"""Every function of ArviZ runs on our posteriors, under 0.23 and, where there is one, under 1.x."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import ConfigError

from . import arviz_functions
from .measured import Measured, MeasuredGuide

ROOT = Path(__file__).resolve().parents[2]
OTHER = os.environ.get("MUTOSCOPE_ARVIZ1_PYTHON")
NAMES = [function.__name__ for function in arviz_functions.FUNCTIONS]


@pytest.fixture(scope="module")
def idata():
    torch.manual_seed(0)
    x = torch.randn(6, 1) + 0.5 * torch.randn(6, 3)
    return posterior(Measured(), MeasuredGuide(), {"x": x}, draws=200)


@pytest.mark.parametrize("function", arviz_functions.FUNCTIONS, ids=NAMES)
def test_it_runs(function, idata, tmp_path):
    arviz_functions.run(function, idata, tmp_path)


def run_alone(python, idata, folder):
    """Run all functions in a fresh interpreter that has only heard of our package."""
    groups = {
        name: {n: Labelled(v.dims, v.values) for n, v in idata[name].data_vars.items()}
        for name in arviz_functions.names_of(idata)
    }
    coords = dict.fromkeys(groups, Measured.coords)
    arviz_functions.save_groups(folder / "groups.npz", groups, coords)
    (folder / "mutoscope").symlink_to(ROOT)
    done = subprocess.run(
        [python, arviz_functions.__file__, str(folder / "groups.npz"), str(folder)],
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_it_runs_on_arrays_alone_without_torch(idata, tmp_path):
    assert run_alone(sys.executable, idata, tmp_path)["ran"] == NAMES


@pytest.mark.skipif(OTHER is None, reason="MUTOSCOPE_ARVIZ1_PYTHON names no Python with ArviZ 1.x")
def test_it_runs_under_arviz_1(idata, tmp_path):
    found = run_alone(OTHER, idata, tmp_path)
    assert found["arviz"].startswith("1.")
    assert found["ran"] == NAMES


def test_groups_are_made_of_arrays_and_their_names(tmp_path):
    level = Labelled(("chain", "draw", "part"), np.zeros((1, 4, 2)))
    groups = {"posterior": {"level": level}, "prior": {}}
    made = to_arviz(groups, {"posterior": {"part": ["a", "b"]}}, {"seed": 1})
    assert list(made["posterior"]["part"].values) == ["a", "b"]
    assert list(made["posterior"]["draw"].values) == [0, 1, 2, 3]
    assert "prior" not in made
    assert made.attrs == {"seed": 1}
    assert np.shares_memory(made["posterior"]["level"].values, level.values)
    assert isinstance(made["posterior"]["level"], xarray.DataArray)


def test_names_that_mean_two_things_are_refused():
    level = Labelled(("chain", "draw", "level"), np.zeros((1, 4, 2)))
    with pytest.raises(ConfigError, match="variable and of its axis"):
        to_arviz({"posterior": {"level": level}})
    with pytest.raises(ConfigError, match="3 labels"):
        to_arviz({"posterior": {"speed": level}}, {"posterior": {"level": ["a", "b", "c"]}})
