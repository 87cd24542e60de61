"""The command line, as a user types it."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from mutoscope.guides import ENTRIES
from mutoscope.inference import Run
from mutoscope.inference.cli import main
from mutoscope.inference.loggers import CsvLog

SMALL = [
    *("--max-steps", "3", "--limit", "40", "--length", "4", "--quiet", "--draws", "4"),
    *("--model.decoder_hidden_dim", "16", "--guide.hidden_dim", "16"),
]
PICTURES = {
    "training.png",
    "frames.png",
    "activity.png",
    "speeds.png",
    "correlation.png",
    "traversals.png",
}


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


STILL = [
    *("--max-steps", "3", "--limit", "60", "--quiet", "--draws", "4", "--batch-size", "16"),
    *("--model.couplings", "2", "--model.hidden_dim", "8"),
]


def test_fit_of_a_flow_leaves_its_own_table_codes_and_pictures(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", "entropy-ordered-flow", "--out", str(out), *STILL]) == 0
    shown = capsys.readouterr().out
    for figure in ("images of 1x8x8", "nats per pixel", "noise floor", "principal", "denoised"):
        assert figure in shown
    pictures = {path.name for path in (out / "figures").iterdir()}
    assert pictures == {
        *("training.png", "spectrum.png", "information.png", "compression.png"),
        *("denoising.png", "traversals.png"),
    }
    loaded = Run.load(out)
    assert float(loaded.model.entropy.abs().min()) > 0
    for path in (out / "figures").iterdir():
        path.unlink()
    assert main(["plot", str(out)]) == 0
    assert {path.name for path in (out / "figures").iterdir()} == pictures
    assert main(["posterior", str(out), "--draws", "2"]) == 0
    assert "z_core: chain 1, draw 2, datum 9, core" in capsys.readouterr().out


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    out = tmp_path_factory.mktemp("flows") / "run"
    assert main(["fit", "entropy-ordered-flow", "--out", str(out), *STILL]) == 0
    return out


def test_cores_of_a_flow_are_chosen_after_training(flow, tmp_path, capsys):
    words = ["posterior", str(flow), "--draws", "2", "--out", str(tmp_path / "codes.nc")]
    assert main([*words, "--core", "5"]) == 0
    assert "z_core: chain 1, draw 2, datum 9, core 5" in capsys.readouterr().out
    assert main([*words, "--core", "65"]) == 1
    assert "core of 65 latents; this flow has 64. Give 1 to 64." in capsys.readouterr().err


def test_a_flow_is_checked_like_any_model(flow, capsys):
    brief = ["--data", "4", "--draws", "30", "--simulations", "10", "--refine", "2"]
    assert main(["check", str(flow), *brief]) == 0
    assert "VERDICT: " in capsys.readouterr().out


def test_autoencoders_stand_beside_cores_of_their_size(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--model.total_correlation", "0", "--autoencoders", "4,16", "--out", str(out)]
    assert main(["fit", "entropy-ordered-flow", *words, *STILL]) == 0
    report = json.loads((out / "report.json").read_text())
    beside = {name for name in report if "autoencoder" in name}
    assert beside == {
        *(f"the same of an autoencoder with {size}" for size in (4, 16)),
        *(f"denoised by an autoencoder with {size} (dB)" for size in (4, 16)),
    }
    assert "penalty(total_correlation)" not in Run.load(out).history[-1]
    assert main(["fit", "sta", "--out", str(tmp_path / "no"), *SMALL, "--autoencoders", "4"]) == 1
    assert "no latents in order" in capsys.readouterr().err
    other = ["fit", "entropy-ordered-flow", "--out", str(tmp_path / "no"), *STILL]
    assert main([*other, "--autoencoders", "four"]) == 1
    assert "--autoencoders four, expected sizes" in capsys.readouterr().err


def test_a_flow_over_scales_reports_bits(tmp_path, capsys):
    path = tmp_path / "pictures.npy"
    generator = np.random.default_rng(0)
    np.save(path, generator.integers(0, 256, (24, 3, 8, 8), dtype=np.uint8))
    scales = ["--model.levels", "1", "--model.bits", "8", "--model.filters", "4"]
    words = ["fit", "entropy-ordered-flow", "--data", str(path), "--out", str(tmp_path / "run")]
    assert main([*words, *scales, *STILL]) == 0
    assert "bits per dimension" in capsys.readouterr().out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["bits per dimension"] > 8  # of noise that was not learned
    assert main([*words, "--overwrite", "--model.levels", "4", *STILL]) == 1
    assert "(3, 8, 8), which cannot be halved 4 times" in capsys.readouterr().err


def test_discrete_images_without_noise_are_refused(tmp_path, capsys):
    words = ["fit", "entropy-ordered-flow", "--out", str(tmp_path / "run"), *STILL]
    assert main([*words, "--model.noise", "0"]) == 1
    assert "Give the model noise" in capsys.readouterr().err


def test_a_flow_of_single_images_refuses_motion(tmp_path, capsys):
    words = ["fit", "entropy-ordered-flow", "--out", str(tmp_path / "run"), *STILL]
    assert main([*words, "--transforms", "rotation"]) == 1
    assert "single images" in capsys.readouterr().err


GROUP = ["--max-steps", "3", "--restarts", "1", "--limit", "30", "--quiet", "--draws", "4"]


@pytest.mark.parametrize(
    ("words", "dims"),
    [
        (["--steps", "4"], ("sequence", "element")),
        (["--steps", "7", "--labelled", "true"], ("sequence", "element")),
        (
            ["--steps", "3", "--length", "4", "--stay", "0.7", "--model.dynamics", "markov"],
            ("sequence", "time", "element"),
        ),
    ],
)
def test_fit_of_a_group_infers_what_acted(words, dims, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", "operator", "--out", str(out), *GROUP, *words]) == 0
    assert "accuracy of what acted" in capsys.readouterr().out
    pictures = {path.name for path in (out / "figures").iterdir()}
    assert pictures == {"training.png", "frames.png", "confusion.png", "orbit.png"}
    run = Run.load(out)
    assert run.model.dims["transformation"] == dims
    assert run.model.group.orders == (int(words[1]),)


def test_parts_that_move_need_no_pictures_of_blocks(tmp_path):
    """Where blocks are follows from start and speed, so that no block's latents can be chosen."""
    out = tmp_path / "run"
    assert main(["fit", "additive-motion", "--out", str(out), *GROUP, "--length", "3"]) == 0
    pictures = {path.name for path in (out / "figures").iterdir()}
    assert pictures == {"training.png", "frames.png"}


def test_numbers_of_balls_are_inferred(tmp_path):
    out = tmp_path / "run"
    words = ["--balls", "1,2", "--model.num_blocks", "3", "--model.presence", "0.2"]
    assert main(["fit", "additive", "--out", str(out), *GROUP, *words]) == 0
    pictures = {path.name for path in (out / "figures").iterdir()}
    assert {"presence.png", "parts.png"} <= pictures


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--balls", "2"], "two whole numbers"),
        (["--balls", "1,3"], "from 0 to 2"),
        (["--data", "digits", "--balls", "1,2"], "left out unless data=balls"),
        (["--length", "3"], "Nothing else moves balls"),
        (["--data", "ball_sequences", "--transforms", "hue"], "Nothing else moves ball_sequences"),
        (["--data", "ball_sequences", "--length", "1"], "length=1"),
    ],
)
def test_balls_that_cannot_be_are_one_line(words, said, tmp_path, capsys):
    assert main(["fit", "additive", "--out", str(tmp_path / "run"), *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_fit_of_a_circle_infers_angles(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", "continuous-operator", "--out", str(out), *GROUP, "--limit", "10"]) == 0
    assert "median error of angles (degrees)" in capsys.readouterr().out
    pictures = {path.name for path in (out / "figures").iterdir()}
    assert pictures == {"training.png", "frames.png", "angles.png"}
    run = Run.load(out)
    assert run.model.dims["angle"] == ("sequence",)
    assert run.model.config.orders == (24,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "1"], "K = 1 moves nothing"),
        (["--steps", "ten"], "whole numbers"),
        (["--steps", "10", "--model.latent_dim", "33"], "such as 30"),
        (["--steps", "4", "--transforms", "scale"], "factor of a group"),
        (["--steps", "4", "--data", "absent.npy"], "does not exist"),
    ],
)
def test_groups_that_cannot_act_are_one_line(words, said, tmp_path, capsys):
    assert main(["fit", "operator", "--out", str(tmp_path / "run"), *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


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


@pytest.mark.parametrize(
    "words",
    [["fit", "sta", "--model.num_field", "3"], ["resume"], ["frobnicate"], ["plot", "x", "--dras"]],
)
def test_words_that_are_not_understood_exit_with_two(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--help" in error


def test_a_mistyped_option_names_the_nearest(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "sta", "--model.num_field", "3"])
    assert "Did you mean --model.num_fields?" in capsys.readouterr().err


def test_an_unknown_model_names_the_nearest(capsys):
    assert main(["fit", "stta"]) == 1
    assert "Did you mean 'sta'?" in capsys.readouterr().err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["fit", "sta", "--out", str(out), "--no-baseline", *SMALL]) == 0
    return out


def test_describe_shows_sites_plates_and_parameters(capsys):
    assert main(["describe", "sta", "--limit", "40", "--length", "4"]) == 0
    shown = capsys.readouterr().out
    for word in ("z0", "speed", "images", "sequence", "guide.spike", "windows"):
        assert word in shown


def test_posterior_writes_the_file_that_was_asked_for(folder, tmp_path, capsys):
    path = tmp_path / "draws.nc"
    assert main(["posterior", str(folder), "--draws", "3", "--out", str(path)]) == 0
    assert "speed: chain 1, draw 3" in capsys.readouterr().out
    assert path.is_file()


def test_check_tells_a_verdict_and_leaves_a_page(folder, capsys):
    brief = ["--data", "4", "--draws", "30", "--simulations", "10", "--refine", "2"]
    assert main(["check", str(folder), *brief]) == 0
    assert "VERDICT: " in capsys.readouterr().out
    assert (folder / "check.html").read_text().startswith("<!doctype html>")


def test_plot_draws_the_pictures_again(folder):
    for path in (folder / "figures").iterdir():
        path.unlink()
    assert main(["plot", str(folder), "--draws", "4"]) == 0
    assert {path.name for path in (folder / "figures").iterdir()} == PICTURES


def test_cite_prints_whole_lines_of_what_was_used(folder, capsys):
    assert main(["cite", str(folder)]) == 0
    cited = capsys.readouterr().out
    assert "song2024sparse" in cited
    assert "song2023flow" not in cited
    assert main(["cite", "vae"]) == 0
    assert "kingma2014auto" in capsys.readouterr().out


def test_a_finished_run_has_nothing_left_to_do(folder, capsys):
    assert main(["resume", str(folder)]) == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["resume", "posterior", "check", "plot"])
def test_a_folder_that_is_no_run_is_refused(command, tmp_path, capsys):
    assert main([command, str(tmp_path)]) == 1
    assert "is not a run" in capsys.readouterr().err


@pytest.mark.parametrize(("signal_name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_stops_and_resume_goes_on_to_the_same_weights(tmp_path, signal_name, status):
    words = ["--max-steps", "12", "--log-every", "1", "--no-baseline", "--limit", "40"]
    words += ["--length", "4", "--quiet", "--draws", "2", "--model.decoder_hidden_dim", "16"]
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    assert main(["fit", "sta", "--out", str(straight), *words]) == 0
    rows, append = [], CsvLog.append

    def stop_at_five(self, row):
        rows.append(row)
        append(self, row)
        if len(rows) == 5:
            os.kill(os.getpid(), getattr(signal, signal_name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CsvLog, "append", stop_at_five)
        assert main(["fit", "sta", "--out", str(cut), *words]) == status
    assert main(["resume", str(cut), "--quiet"]) == 0
    first, second = Run.load(straight), Run.load(cut)
    for part in ("model", "guide"):
        ours, theirs = getattr(first, part).state_dict(), getattr(second, part).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (cut / "report.json").read_text() == (straight / "report.json").read_text()


def test_print_config_is_a_file_that_fit_takes(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "sta", "--print_config", *SMALL[:-1], "16"])
    path = tmp_path / "config.yaml"
    path.write_text(capsys.readouterr().out)
    assert main(["fit", "sta", "--config", str(path), "--out", str(tmp_path / "run")]) == 0
    assert Run.load(tmp_path / "run").settings["fit"]["max_steps"] == 3


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["fit", "sta", "--out", str(tmp_path / "file" / "run"), *SMALL]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("columns", [80, 120])
def test_list_names_every_model_and_its_classes_in_full(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    words = {word.strip(",") for line in lines for word in line.split()}
    for entry in ENTRIES:
        names = {entry.name, entry.model.__name__, entry.guide.__name__}
        assert names | {word.strip(",") for word in entry.summary.split()} <= words


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
