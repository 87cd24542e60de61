"""The command line, as a user types it."""

import json

import numpy as np
import pytest

from mutoscope.inference import Run
from mutoscope.inference.cli import main

SMALL = [
    *("--max-steps", "3", "--limit", "40", "--length", "4", "--quiet", "--draws", "4"),
    *("--model.decoder_hidden_dim", "16", "--guide.hidden_dim", "16"),
]
PICTURES = {"training.png", "frames.png", "activity.png", "speeds.png", "correlation.png"}


def test_fit_leaves_table_posterior_and_pictures(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", "sta", "--out", str(out), *SMALL]) == 0
    shown = capsys.readouterr().out
    for figure in ("ELBO", "IWAE", "equivariance", "autoencoder", "active", "matched correlation"):
        assert figure in shown
    assert {path.name for path in (out / "figures").iterdir()} == PICTURES
    assert "ratio of the two" in json.loads((out / "report.json").read_text())
    assert (out / "posterior.nc").is_file()
    assert Run.load(out).settings["data"]["data"] == "digits"


def test_fit_of_the_baseline_has_no_speeds_and_still_reports(tmp_path, capsys):
    assert main(["fit", "vae", "--out", str(tmp_path / "run"), *SMALL]) == 0
    assert "ELBO" in capsys.readouterr().out


def test_a_users_array_of_images(tmp_path):
    path = tmp_path / "mine.npy"
    np.save(path, np.random.default_rng(0).integers(0, 255, (30, 9, 9), dtype=np.uint8))
    arguments = ["--data", str(path), "--out", str(tmp_path / "run"), "--no-baseline"]
    assert main(["fit", "sta", *arguments, *SMALL]) == 0


def test_a_run_is_not_overwritten_unless_asked(tmp_path, capsys):
    (tmp_path / "kept.txt").write_text("mine")
    assert main(["fit", "sta", "--out", str(tmp_path), *SMALL]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_overwriting_leaves_foreign_files_alone(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    assert main(["fit", "sta", "--out", str(tmp_path), "--overwrite", *SMALL]) == 0
    assert main(["fit", "sta", "--out", str(tmp_path), "--overwrite", *SMALL]) == 0
    assert (tmp_path / "kept.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.num_fields", "0"], "num_fields=0"),
        (["--length", "1"], "length"),
        (["--data", "digitz"], "digits"),
        (["--data", "mnist", "--data-dir", "nowhere"], "nowhere"),
        (["--max-steps", "0"], "max_steps=0"),
        (["--transforms", "rotation,spin"], "spin"),
        (["--draws", "0"], "draws"),
        (["--sequences-per-image", "0"], "sequences_per_image"),
    ],
)
def test_bad_input_is_one_line_before_training(tmp_path, capsys, words, said):
    assert main(["fit", "sta", "--out", str(tmp_path / "run"), *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["fit", "stta"], ["fit", "sta", "--model.num_field", "3"]])
def test_unknown_words_exit_with_two(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert words[-1 if len(words) == 2 else 2] in capsys.readouterr().err


def test_list_names_every_model(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "sta" in shown
    assert "vae" in shown


def test_a_file_is_no_folder(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("mine")
    assert main(["fit", "sta", "--out", str(path), *SMALL]) == 1
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_stepz: 3", "'max_steps'"),
        ("model: {num_field: 3}", "'num_fields'"),
        ("[1, 2]", "expected named options"),
        ("{", "neither YAML nor JSON"),
    ],
)
def test_a_bad_config_file_is_refused_in_one_sentence(tmp_path, capsys, text, said):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert main(["fit", "sta", f"--config={path}", "--out", str(tmp_path / "run"), *SMALL]) == 1
    assert said in capsys.readouterr().err


def test_a_config_file_is_used(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: 5\nmodel: {num_fields: 3}")
    out = tmp_path / "run"
    assert main(["fit", "sta", "--config", str(path), "--out", str(out), *SMALL]) == 0
    run = Run.load(out)
    assert run.settings["fit"]["seed"] == 5
    assert run.model.config.num_fields == 3
