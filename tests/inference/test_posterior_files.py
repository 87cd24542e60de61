"""Posteriors that go to a file batch by batch are those that stay in memory, or are no file."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray

from mutoscope.inference import Run
from mutoscope.inference.labelled import Labelled, open_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.inference.storage import InFile
from mutoscope.zoo.errors import ConfigError, DataError, RunError

from .arviz_functions import names_of
from .measured import TIMES, Measured, MeasuredGuide

COUNT = 7


class Split:
    """Data with a truth of every kind of number."""

    def __init__(self):
        self.x = torch.randn(COUNT, TIMES)
        self.truth = SimpleNamespace(
            flag=torch.arange(COUNT) % 2 == 0,
            pose=torch.rand(COUNT, 2, dtype=torch.float64),
            kind=torch.arange(COUNT),
            pixels=torch.arange(COUNT, dtype=torch.uint8),
            dims={"pose": ("datum", "factor")},
            factors=("größe", "angle"),
            units={"angle": "degree"},
        )

    def __len__(self):
        return COUNT

    def batch(self, indices):
        return {"x": self.x[indices]}


def of(data, out=None, **options):
    options = {"draws": 20, "batch_size": 3} | options
    return posterior(Measured(), MeasuredGuide(), data, out=out, **options)


@pytest.fixture(params=["nc", "zarr"])
def path(tmp_path, request):
    return tmp_path / f"posterior.{request.param}"


def test_a_file_holds_what_memory_would(path):
    data = Split()
    kept, written = of(data), of(data, path)
    assert set(names_of(kept)) == set(names_of(written))
    for group in names_of(kept):
        xarray.testing.assert_identical(kept[group], written[group].load())
    for name, value in kept.attrs.items():
        assert written.attrs[name] == value
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_arrays_of_a_file_are_read_when_they_are_looked_at(path):
    z = of(Split(), path)["posterior"]["z"]
    assert not z.variable._in_memory
    assert z.sel(datum=2).values.shape == (1, 20)


def test_arviz_reads_the_file(tmp_path):
    import arviz

    path = tmp_path / "posterior.nc"
    whole = of(Split(), path)
    read = arviz.from_netcdf(str(path), engine="h5netcdf")
    assert read["posterior"].equals(whole["posterior"])


def test_a_run_writes_its_posterior(path):
    run, data = Run(Measured(), MeasuredGuide()), Split()
    written = run.posterior(data, draws=5, seed=2, out=str(path), groups=("posterior",))
    assert written["posterior"].equals(run.posterior(data, draws=5, seed=2)["posterior"])
    assert names_of(written) == ["posterior"]


def test_draws_that_are_drawn_again_go_to_the_file(path):
    run, data = Run(Measured(), MeasuredGuide()), Split()
    options = {"draws": 50, "resample": True, "progress": False}
    written, kept = run.posterior(data, out=path, **options), run.posterior(data, **options)
    assert set(names_of(kept)) == set(names_of(written))
    for group in names_of(kept):
        xarray.testing.assert_identical(kept[group], written[group].load())
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    with pytest.raises(ConfigError, match="netCDF"):
        run.posterior({"x": torch.full((2, TIMES), torch.nan)}, out="posterior.txt", resample=True)


def test_a_failure_on_the_way_leaves_what_was_there_and_nothing_else(path):
    class Broken(Split):
        def batch(self, indices):
            if 5 in indices:
                self.x[5] = torch.nan
            return super().batch(indices)

    before = of(Split(), path)["posterior"].load()
    with pytest.raises(DataError, match="NaN"):
        of(Broken(), path)
    assert open_arviz(path)["posterior"].equals(before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.fixture
def no_large_files():
    """Let no file of this process grow beyond 200 kB, as if the disk were full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("no_large_files")
def test_a_full_disk_is_noticed_before_a_file_fills_it(tmp_path):
    path = tmp_path / "posterior.nc"
    before = of(Split(), path)["posterior"].load()
    made = []

    class Counted(Split):
        def batch(self, indices):
            made.append(len(indices))
            return super().batch(indices)

    with pytest.raises(RunError, match="Free some space"):
        of(Counted(), path, draws=100_000)
    assert sum(made) <= 1 + 3  # a first look, and one batch
    assert open_arviz(path)["posterior"].equals(before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.usefixtures("no_large_files")
def test_a_disk_that_fills_leaves_the_folder_as_it_was(tmp_path):
    path = tmp_path / "posterior.zarr"
    before = of(Split(), path)["posterior"].load()
    with pytest.raises(RunError, match="Free some space"):
        of(Split(), path, draws=100_000)
    assert open_arviz(path)["posterior"].equals(before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no/such/posterior.nc", "does not exist"),
        ("no/such/posterior.zarr", "does not exist"),
        ("posterior.hdf", "netCDF file or a Zarr folder"),
        (".", "netCDF file or a Zarr folder"),
        ("folder.nc", "is no netCDF file"),
        ("folder.zarr", "is no Zarr folder"),
    ],
)
def test_places_where_no_file_can_be_are_refused_before_anything_is_drawn(tmp_path, name, words):
    for folder in ("folder.nc", "folder.zarr"):
        (tmp_path / folder).mkdir()
    with pytest.raises(ConfigError, match=words):
        of({"x": torch.full((2, TIMES), torch.nan)}, tmp_path / name)


def test_without_zarr_there_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mutoscope\[zarr\]"):
        of(Split(), tmp_path / "posterior.zarr")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("h5netcdf.File", refuse)
    with pytest.raises(RunError, match=str(tmp_path)):
        of(Split(), tmp_path / "posterior.nc")


def test_room_is_taken_before_it_is_filled(tmp_path):
    path = tmp_path / "posterior.nc"
    with InFile(path, {"posterior": {"draw": 1000}}) as file:
        block = Labelled(("draw", "time"), np.ones((1, 50), np.float32))
        file.put("posterior", "x", block, {"draw": 999})
        file.finish({}, {})
        assert path.stat().st_blocks * 512 >= 1000 * 50 * 4


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--zarr"]])
def test_memory_holds_a_batch_and_not_the_file(options):
    benchmark = Path(__file__).parents[2] / "benchmarks" / "posterior_memory.py"
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(benchmark),
            "--data",
            "4000",
            "--draws",
            "200",
            *options,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = json.loads(done.stdout)
    assert taken["file"] > (300 if options else 700)  # one is compressed
    assert taken["memory above"] < 400
