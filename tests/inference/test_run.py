"""Run folders: equal when read back, and refused when damaged."""

import json
from pathlib import Path

import pytest
import torch

from mutoscope.guides import Entry
from mutoscope.inference import Run, fit
from mutoscope.zoo.errors import ConfigError, DataError


@pytest.fixture
def run():
    torch.manual_seed(0)
    entry = Entry.named("vae")
    model = entry.model(
        entry.model.Config(image_shape=(1, 4, 4), length=2, latent_dim=2, decoder_hidden_dim=8)
    )
    guide = entry.guide(model, entry.guide.Config(hidden_dim=8, feature_dim=8))
    return fit(model, guide, {"images": torch.rand(4, 2, 1, 4, 4)}, max_steps=2, progress=False)


def test_settings_and_history_come_back(run, tmp_path):
    loaded = Run.load(run.save(tmp_path))
    assert loaded.settings == run.settings
    assert loaded.history == run.history


def test_saving_again_replaces_and_leaves_nothing_half_written(run, tmp_path):
    run.save(tmp_path)
    run.save(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "history.csv", "model.safetensors"]


def test_a_failing_write_leaves_the_old_file_whole(run, tmp_path, monkeypatch):
    run.save(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def full_disk(_, path):
        Path(path).write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run.save(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a run"):
        Run.load(tmp_path)


def test_a_newer_schema_is_refused(run, tmp_path):
    path = run.save(tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(DataError, match="99"):
        Run.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "history.csv"])
def test_a_truncated_file_is_refused(run, tmp_path, name):
    path = run.save(tmp_path) / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if name != "history.csv" else b"step\nnonsense\n")
    with pytest.raises(DataError, match="damaged"):
        Run.load(tmp_path)


def test_a_missing_file_is_refused(run, tmp_path):
    (run.save(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(DataError, match="damaged"):
        Run.load(tmp_path)


def test_weights_of_another_shape_are_refused(run, tmp_path):
    path = run.save(tmp_path) / "config.json"
    described = json.loads(path.read_text())
    described["model"]["latent_dim"] = 3
    path.write_text(json.dumps(described))
    with pytest.raises(DataError, match="damaged"):
        Run.load(tmp_path)


def test_an_unknown_model_names_the_nearest(run, tmp_path):
    path = run.save(tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"entry": "vea"}))
    with pytest.raises(ConfigError, match="Did you mean 'vae'"):
        Run.load(tmp_path)


def test_an_unregistered_pair_is_not_saved(tmp_path):
    with pytest.raises(ConfigError, match="not registered"):
        Run(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)).save(tmp_path)
