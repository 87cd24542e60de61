"""Models and data sets of other packages are found, used and, where they are broken, explained."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from mutoscope.guides.registry import ENTRIES, Entry, broken_entries, entries, entry_of
from mutoscope.inference import Run, fit
from mutoscope.inference.cli import main
from mutoscope.zoo.datasets import open_data
from mutoscope.zoo.datasets.catalogue import sources
from mutoscope.zoo.errors import ConfigError, DataError

SOURCE = Path(__file__).parents[1] / "fixtures" / "third_party"
PACKAGE, MODULE = "points-near-a-plane", "points_near_a_plane"


@pytest.fixture
def install(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def install(package, **groups):
        folder = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = []
        for group, points in groups.items():
            lines += [f"[mutoscope.{group}]", *(f"{n} = {value}" for n, value in points.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    return install


@pytest.fixture
def installed(install, monkeypatch):
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    groups = {name.split(".")[1]: points for name, points in project["entry-points"].items()}
    monkeypatch.syspath_prepend(SOURCE)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield install(project["name"], **groups)
    sys.modules.pop(MODULE, None)


def test_an_installed_model_is_listed_after_ours(installed):
    assert [entry.name for entry in entries()] == [*(e.name for e in ENTRIES), f"{PACKAGE}:plane"]


@pytest.mark.usefixtures("installed")
def test_its_package_is_imported_only_when_it_is_asked_for():
    Entry.named("sta")
    listed = entries()
    assert [next(listed) for _ in ENTRIES] == list(ENTRIES)
    with pytest.raises(ConfigError, match="no model called 'plain'"):
        Entry.named("plain")
    assert MODULE not in sys.modules
    Entry.named("plane")
    assert MODULE in sys.modules


@pytest.mark.usefixtures("installed")
def test_a_misspelt_name_is_answered_with_the_nearest_installed_one():
    with pytest.raises(ConfigError, match=f"Did you mean '{PACKAGE}:plane'"):
        Entry.named(f"{PACKAGE}:plan")


@pytest.mark.parametrize("name", ["plane", f"{PACKAGE}:plane"])
@pytest.mark.usefixtures("installed")
def test_an_installed_model_is_fitted_saved_and_loaded(name, tmp_path):
    entry = Entry.named(name)
    model = entry.model(entry.model.Config(num_coordinates=3))
    guide = entry.guide(model)
    assert entry_of(model, guide) == entry
    points = {"points": torch.randn(6, 3)}
    run = fit(model, guide, points, max_steps=2, progress=False, out=tmp_path / "run")
    loaded = Run.load(tmp_path / "run")
    assert type(loaded.model) is entry.model
    for name, value in run.guide.state_dict().items():
        assert torch.equal(value, loaded.guide.state_dict()[name])


@pytest.mark.parametrize("command", ["describe", "fit"])
@pytest.mark.usefixtures("installed")
def test_a_model_of_other_things_than_images_is_told_so_before_images_are_opened(
    command, tmp_path, capsys
):
    words = ["--data", "mnist", "--data-dir", str(tmp_path / "nowhere")]
    assert main([command, "plane", *words]) == 1
    said = capsys.readouterr().err
    assert f"{PACKAGE}:plane takes points" in said
    assert "fit(model, guide, {'points': tensor})" in said
    assert "nowhere" not in said


OPTIONLESS = """
from dataclasses import dataclass
from mutoscope.guides import VariationalAutoencoderGuide
from mutoscope.guides.registry import Entry
from mutoscope.zoo import VariationalAutoencoder
from mutoscope.zoo.config import AbstractConfig

class Guide(VariationalAutoencoderGuide):
    def __init__(self, model, config=None):
        super().__init__(model, VariationalAutoencoderGuide.Config())

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        "It has no options."

entry = Entry("frames", VariationalAutoencoder, Guide, "frames [one by one]")
"""


def test_a_guide_without_options_is_described_and_listed_as_it_is(install, capsys):
    folder = install("other-package", entries={"frames": "optionless_guide:entry"})
    (folder / "optionless_guide.py").write_text(OPTIONLESS)
    assert main(["describe", "frames", "--limit", "20"]) == 0
    assert "guide.frame" in capsys.readouterr().out
    assert main(["list"]) == 0
    assert "frames [one by one]" in capsys.readouterr().out


def test_an_installed_model_is_tested_by_one_option(installed, tmp_path):
    paths = os.pathsep.join([str(installed), str(SOURCE), os.environ.get("PYTHONPATH", "")])
    words = ["--pyargs", "mutoscope.testing", "--mutoscope-entry", "plane"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "-v", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{PACKAGE}:plane] PASSED" in done.stdout
    assert "[sta]" not in done.stdout


def test_the_option_costs_nothing_when_it_is_not_used():
    code = "import sys, mutoscope.testing.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pyro", "numpy", "mutoscope.guides"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("no_such_module:entry", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:no_such_name", "AttributeError"),
        ("json:loads", "TypeError: loads"),
        ("math:pi", "TypeError: found float, expected an Entry"),
    ],
)
def test_a_broken_package_is_explained_and_leaves_the_others_alone(install, value, cause):
    install("broken-package", entries={"broken": value})
    assert list(entries()) == list(ENTRIES)
    (line,) = broken_entries()
    assert "broken-package:broken" in line
    assert cause in line
    assert "\n" not in line
    with pytest.raises(ConfigError, match="uninstall the package broken-package") as raised:
        Entry.named("broken")
    assert cause in str(raised.value)


def test_what_a_broken_package_says_is_listed_as_it_is(install, capsys):
    folder = install("broken-package", entries={"broken": "bracketed:entry"})
    (folder / "bracketed.py").write_text("raise ValueError('[/tag]')")
    assert main(["list"]) == 0
    assert "[/tag]" in capsys.readouterr().out


def test_a_model_without_options_is_refused(install):
    folder = install("broken-package", entries={"broken": "optionless:entry"})
    (folder / "optionless.py").write_text(
        "from mutoscope.guides.registry import Entry\n"
        "from torch import nn\n"
        "entry = Entry('broken', nn.Linear, nn.Linear, 'a layer')\n"
    )
    assert list(entries()) == list(ENTRIES)
    with pytest.raises(ConfigError, match=r"Linear.* has no Config"):
        Entry.named("broken")


@pytest.mark.usefixtures("installed")
def test_our_names_are_ours_and_the_other_is_reached_through_its_package(install):
    install("other-package", entries={"sta": f"{MODULE}:entry"})
    assert Entry.named("sta") is ENTRIES[0]
    assert Entry.named("other-package:sta").name == "other-package:sta"
    assert Entry.named("other-package:sta").model is Entry.named("plane").model


@pytest.mark.usefixtures("installed")
def test_a_name_of_two_packages_is_not_guessed(install):
    install("other-package", entries={"plane": f"{MODULE}:entry"})
    with pytest.raises(ConfigError, match=f"Ask for other-package:plane or {PACKAGE}:plane"):
        Entry.named("plane")


@pytest.mark.parametrize("name", ["squares", f"{PACKAGE}:squares"])
@pytest.mark.usefixtures("installed")
def test_an_installed_data_set_is_set_in_motion_like_ours(name):
    assert sources()[-1] == f"{PACKAGE}:squares"
    data = open_data(name, transforms=["rotation"], length=3)
    assert (data.name, data.image_shape, data.length) == ("squares", (1, 8, 8), 3)


def test_a_data_set_that_returns_something_else_is_explained(install):
    folder = install("broken-package", datasets={"mine": "empty_images:images"})
    (folder / "empty_images.py").write_text("def images(data_dir, *, seed): return []")
    with pytest.raises(DataError, match=r"broken-package:mine returned list; expected Images"):
        open_data("mine")


def test_a_data_set_that_cannot_be_imported_is_explained(install):
    install("broken-package", datasets={"mine": "no_such_module:images"})
    with pytest.raises(ConfigError, match=r"broken-package:mine .*ModuleNotFoundError"):
        open_data("mine")
