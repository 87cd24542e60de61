"""Whatever is typed, or written in a file of options, is done or explained: no traceback."""

import contextlib
import dataclasses
import io
import itertools
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mutoscope.guides.registry import ENTRIES
from mutoscope.inference import FitOptions
from mutoscope.inference.cli import main
from mutoscope.inference.data_options import DataOptions
from mutoscope.inference.job import Job

from .strange import FUZZ, JSON, NOISE, NUMBERS, WORDS, is_quick

TYPING = settings(FUZZ, max_examples=60)


def said(words):
    """Return the exit status of a command line, and what it writes to standard error."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as e:
        try:
            status = main(words)
        except SystemExit as stop:
            status = stop.code
    return status, e.getvalue()


def is_explained(status, error):
    """Tell whether a status is a documented one, and goes with what is written of it."""
    one_line = error.startswith("mutoscope: ") and error.count("\n") == 1
    known = status == 0 or (status in (1, 2) and one_line)
    return known and "Traceback" not in error


TINY = ["--limit=4", "--length=2"]
BRIEF = ["--max_steps=1", "--quiet", "--overwrite", "--out=out", "--model.decoder_hidden_dim=8"]
COMMANDS = {"describe": TINY, "fit": TINY + BRIEF}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Work in a folder with a run, and leave out reports and pictures, which take long."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Job, "_report", lambda *given, **options: None)
        patch.setattr("mutoscope.inference.pictures.draw_pictures", lambda *given, **options: None)
        assert said(["fit", "vae", *TINY, *BRIEF, "--out=run"]) == (0, "")
        yield folder


TYPED = "0 1 2 -1 1.5 1e300 1e-300 nan -inf null true [] [1,2] {} {a:1} [ 0x1 =x -- . out run out/x"
TYPED = [*TYPED.split(), "run/config.json", "", "x" * 300, "9" * 30, "/dev/null", "&a [*a]"]
TYPED = st.sampled_from(TYPED) | NOISE


def known_options():
    """Return each command on models with its model and each of its options."""
    for entry, command in itertools.product(ENTRIES, COMMANDS):
        kinds = {"": [DataOptions, FitOptions] if command == "fit" else [DataOptions]}
        kinds |= {"model.": [entry.model.Config], "guide.": [entry.guide.Config]}
        for part, classes in kinds.items():
            for field in itertools.chain(*map(dataclasses.fields, classes)):
                yield command, entry.name, part + field.name
        for name in ("out", "draws", "quiet", "config", "print_config", "help", "model", "x", ""):
            yield command, entry.name, name


KNOWN = list(known_options())


@TYPING
@given(st.sampled_from(KNOWN), TYPED, st.booleans())
@example(("fit", "sta", "print_config"), "--", False)
@example(("fit", "sta", "config"), "two\nlines", False)
def test_whatever_is_typed_about_a_model_is_explained(work, known, value, apart):
    command, entry, option = known
    with contextlib.suppress(yaml.YAMLError, ValueError):
        assume(is_quick(option, yaml.safe_load(value)))
    words = [f"--{option}", value] if apart else [f"--{option}={value}"]
    assert is_explained(*said([command, entry, *COMMANDS[command], *words]))


ON_RUNS = st.sampled_from(["run", "--draws", "--seed", "--out", "--particles", "--help", "vae"])
RUNS = ["resume", "posterior", "check", "plot", "cite", "list", "describe", "x"]


@TYPING
@given(
    st.sampled_from(RUNS),
    st.lists(TYPED | ON_RUNS, max_size=3) | st.tuples(st.just("run"), ON_RUNS, TYPED),
)
@example("resume", ["two\nlines"])
@example("check", ["run", "--seed", "9" * 30])
def test_whatever_is_typed_about_a_run_is_explained(work, command, words):
    assert is_explained(*said([command, *words]))


@TYPING
@given(
    st.sampled_from(KNOWN),
    st.sampled_from(NUMBERS + WORDS) | JSON,
    st.none() | NOISE | JSON.map(json.dumps),
)
@example(("fit", "sta", "out"), "a\0b", None)
@example(("fit", "sta", "overwrite"), "no", None)
@example(("fit", "sta", "x"), None, "model: []")
def test_a_config_file_of_any_text_is_explained(work, known, value, text):
    command, entry, option = known
    assume(is_quick(option, value))
    *part, name = option.split(".")
    found = {part[0]: {name: value}} if part else {name: value}
    written = yaml.safe_dump(found) if text is None else text
    Path("config.yaml").write_bytes(written.encode(errors="surrogateescape"))
    words = [command, entry, *COMMANDS[command], "--config", "config.yaml"]
    assert is_explained(*said(words))
