"""Run folders: equal when read back, whichever version wrote them, and refused when damaged."""

import contextlib
import json
import math
import resource
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mutoscope.guides import Entry
from mutoscope.inference import Run
from mutoscope.inference.migrations import SCHEMA, migrate
from mutoscope.inference.run import begin_run, build_pair, describe_run, read_unfinished
from mutoscope.inference.sealed import seal, unseal
from mutoscope.zoo.errors import RunError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"
HISTORY = [{"step": 1.0, "elbo": -0.1}, {"step": 2.0, "elbo": 1e-17, "validation elbo": math.pi}]


def registered(**sizes):
    entry = Entry.named("vae")
    sizes = {
        "image_shape": (1, 4, 4),
        "length": 2,
        "latent_dim": 2,
        "decoder_hidden_dim": 4,
    } | sizes
    model = entry.model(entry.model.Config(**sizes))
    return model, entry.guide(model, entry.guide.Config(hidden_dim=4, feature_dim=4))


class Part(nn.Module):
    """A module that is not registered, with a tied parameter and buffers of all kinds."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor([3, 4]))
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
        self.register_buffer("unsaved", torch.ones(2), persistent=False)


def unregistered():
    return Part(), Part()


@pytest.fixture
def run():
    return Run(*registered(), history=HISTORY, settings={"fit": {"seed": 3}, "words": ["a", None]})


def weights(run):
    return {
        f"{part}.{name}": tensor
        for part, module in (("model", run.model), ("guide", run.guide))
        for name, tensor in module.state_dict().items()
    }


def equal(first, second):
    first, second = weights(first), weights(second)
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name])
        for name in first
    )


def contents(folder):
    return {name: path.read_bytes() for name, path in unseal(folder).items()}


def sealed_again(folder, **changes):
    """Give a run another description, with hashes that are right."""
    files = contents(folder)
    described = json.loads(files["config.json"]) | changes
    files["config.json"] = json.dumps(described).encode()
    seal(
        folder,
        {
            n: lambda path, content=content: path.write_bytes(content)
            for n, content in files.items()
        },
    )


def test_a_run_comes_back_equal(run, tmp_path):
    loaded = Run.load(run.save(tmp_path))
    assert equal(loaded, run)
    assert loaded.settings == run.settings
    assert loaded.history == run.history
    assert (loaded.model.config, loaded.guide.config) == (run.model.config, run.guide.config)
    assert not loaded.model.training
    assert not loaded.guide.training


@pytest.mark.parametrize(
    "history", [[], [{}], [{}, {"a": 1.0}, {}], [{"b": math.inf}, {'a, "b"\n': -0.0}]]
)
def test_rows_of_the_history_may_have_any_columns(run, tmp_path, history):
    run.history = history
    assert Run.load(run.save(tmp_path)).history == history


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [registered, unregistered])
def test_numbers_of_any_precision_come_back_as_they_were(tmp_path, dtype, make):
    run = Run(*(module.to(dtype) for module in make()))
    loaded = Run.load(run.save(tmp_path), None if make is registered else make())
    assert equal(loaded, run)
    assert {b.dtype for b in loaded.model.buffers()} == {b.dtype for b in run.model.buffers()}


@pytest.mark.parametrize("doubled", ["first", "turned"])
def test_parts_of_different_precision_come_back_as_they_were(tmp_path, doubled):
    run = Run(*unregistered())
    setattr(run.model, doubled, getattr(run.model, doubled).double())
    loaded = Run.load(run.save(tmp_path), unregistered())
    assert equal(loaded, run)
    assert loaded.model.unsaved.dtype == torch.float32


def test_integers_do_not_stand_for_floats(tmp_path):
    Run(*unregistered()).save(tmp_path)
    pair = unregistered()
    pair[0].count = pair[0].count.float()
    with pytest.raises(RunError, match=r"has model\.count of torch\.int64, not torch\.float32"):
        Run.load(tmp_path, pair)


def test_an_unregistered_pair_receives_the_weights(tmp_path):
    run, pair = Run(*unregistered()), unregistered()
    loaded = Run.load(run.save(tmp_path), pair)
    assert (loaded.model, loaded.guide) == pair
    assert equal(loaded, run)
    assert pair[0].first.weight is pair[0].second.weight


def test_an_unregistered_pair_must_be_given(tmp_path):
    Run(*unregistered()).save(tmp_path)
    with pytest.raises(RunError, match=rf"{__name__}:Part .* not registered.*`pair`"):
        Run.load(tmp_path)


def test_a_pair_that_does_not_fit_is_refused_and_left_alone(run, tmp_path):
    run.save(tmp_path)
    for pair, said in (
        (registered(length=3), "length=3, not 2"),
        (unregistered(), "another configuration"),
    ):
        before = {name: tensor.clone() for name, tensor in pair[0].state_dict().items()}
        with pytest.raises(RunError, match=said):
            Run.load(tmp_path, pair)
        assert all(torch.equal(before[n], t) for n, t in pair[0].state_dict().items())
    Run(*unregistered()).save(tmp_path)
    with pytest.raises(RunError, match=r"does not fit .* it has guide\.count"):
        Run.load(tmp_path, registered())


def test_the_names_of_classes_are_never_imported(run, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    sealed_again(run.save(tmp_path / "run"), classes={"model": "evil:Evil", "guide": "evil:Evil"})
    assert equal(Run.load(tmp_path / "run"), run)
    sealed_again(tmp_path / "run", entry=None)
    with pytest.raises(RunError, match="evil:Evil"):
        Run.load(tmp_path / "run")
    assert "evil" not in sys.modules
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_runs_of_every_schema_load_with_the_numbers_they_were_saved_with(schema):
    folder = FIXTURES / f"schema_{schema}"
    assert json.loads((folder / "config.json").read_text())["schema"] == schema
    expected = json.loads((folder / "expected.json").read_text())
    run = Run.load(folder)
    assert {name: t.flatten().tolist() for name, t in weights(run).items()} == expected["weights"]
    assert run.history == expected["history"]
    assert run.settings == expected["settings"]


def test_a_run_of_which_the_last_step_of_saving_was_cut_off_is_a_run(run, tmp_path):
    run.save(tmp_path / "run" / ".pending")
    with pytest.raises(RunError, match="holds a run already"):
        begin_run(tmp_path / "run", run.model, run.guide, {}, False)
    assert equal(Run.load(tmp_path / "run"), run)


def test_saving_again_replaces_and_leaves_nothing_half_written(run, tmp_path):
    run.save(tmp_path)
    (tmp_path / "posterior.nc").write_bytes(b"another file")
    other = Run(*registered())
    other.save(tmp_path)
    assert equal(Run.load(tmp_path), other)
    names = {"SHA256SUMS", "config.json", "history.csv", "model.safetensors", "posterior.nc"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_full_disk_leaves_the_old_run_whole(run, tmp_path, monkeypatch):
    before = contents(run.save(tmp_path))

    def full_disk(_, path):
        Path(path).write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(RunError, match=r"model\.safetensors cannot be written .*No space left"):
        Run(*registered()).save(tmp_path)
    assert contents(tmp_path) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("settings", [{"a": math.nan}, {"a": {1}}, {"a": "x" * 2**26}])
def test_what_could_not_be_read_back_is_not_saved(run, tmp_path, settings):
    before = contents(run.save(tmp_path))
    run.settings = settings
    with pytest.raises(RunError, match="Settings and configurations"):
        run.save(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(run, tmp_path, value):
    from safetensors.torch import save_file

    files = contents(run.save(tmp_path))
    with torch.no_grad():
        run.guide.latent.linear.weight[0, 1] = value
    with pytest.raises(RunError, match=r"guide\.latent\.linear\.weight is no tensor of finite"):
        run.save(tmp_path)
    assert contents(tmp_path) == files
    seal(
        tmp_path,
        {
            "config.json": lambda path: path.write_bytes(files["config.json"]),
            "model.safetensors": lambda path: save_file(weights(run), path),
            "history.csv": lambda path: path.write_bytes(files["history.csv"]),
        },
    )
    with pytest.raises(RunError, match=r"guide\.latent\.linear\.weight holds NaN or infinity"):
        Run.load(tmp_path)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "file", tmp_path / ("x" * 999)):
        with pytest.raises(RunError, match="is not a run"):
            Run.load(folder)
    seal(tmp_path, {"state.json": lambda path: path.write_text("{}")})
    with pytest.raises(RunError, match="is not a run"):
        Run.load(tmp_path)


def test_a_newer_schema_asks_for_an_upgrade(run, tmp_path):
    sealed_again(run.save(tmp_path), schema=SCHEMA + 1)
    with pytest.raises(RunError, match=rf"schema {SCHEMA + 1}, .* Upgrade Mutoscope"):
        Run.load(tmp_path)


@pytest.mark.parametrize("name", ["state", "entry", "classes", "model", "dtypes", "settings"])
def test_a_description_lacks_nothing_and_has_the_right_types(run, tmp_path, name):
    described = describe_run(run.model, run.guide, run.settings, "finished")
    assert migrate(described, SCHEMA) == described
    with pytest.raises(RunError, match=f"its '{name}' is int, expected"):
        migrate(described | {name: 1}, SCHEMA)
    del described[name]
    with pytest.raises(RunError, match=f"its '{name}' is nothing, expected"):
        migrate(described, SCHEMA)


def test_a_state_that_never_was_is_refused(run, tmp_path):
    sealed_again(run.save(tmp_path), state="done")
    with pytest.raises(RunError, match=rf"{tmp_path}.*its state is 'done', expected one of"):
        Run.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'{"schema": NaN}',
        b'{"schema": -Infinity}',
        b'{"schema": 1e999}',
        b'{"schema": ' + b"9" * 5000 + b"}",
        b"[" * 10**5,
        b'{"schema": "\xff"}',
        '{"schema": 2}'.encode("utf-16"),
        b'{"schema": 2}' + b" " * 2**26,
    ],
    ids=lambda content: content[:20],
)
def test_a_description_in_another_form_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=rf"{path} is damaged"):
        Run.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        b"a,a\n1,2\n",
        b"a\none\n",
        b"a\n1,2\n",
        b"a,b\n1\n",
        b'a\n"1\n',
        b"a\n1\n2",
        b"\xff\n",
    ],
)
def test_a_history_in_another_form_is_refused(run, tmp_path, content):
    files = contents(run.save(tmp_path)) | {"history.csv": content}
    seal(tmp_path, {n: lambda path, text=text: path.write_bytes(text) for n, text in files.items()})
    with pytest.raises(RunError, match=r"history\.csv is damaged"):
        Run.load(tmp_path)


@pytest.mark.parametrize("schema", [None, 0, -1, "2", 2.0, True, [2]])
def test_a_schema_that_never_was_is_refused(schema):
    with pytest.raises(RunError, match="expected 1 to"):
        migrate({}, schema)


def test_a_run_that_has_lost_its_hashes_is_refused(run, tmp_path):
    (run.save(tmp_path) / "SHA256SUMS").unlink()
    with pytest.raises(RunError, match="SHA256SUMS is missing"):
        Run.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "history.csv"])
def test_a_run_of_the_first_schema_with_a_damaged_file_is_refused(tmp_path, name):
    path = shutil.copytree(FIXTURES / "schema_1", tmp_path / "run") / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match="damaged"):
        Run.load(tmp_path / "run")
    path.unlink()
    with pytest.raises(RunError, match=f"{name}"):
        Run.load(tmp_path / "run")


def test_an_unknown_model_names_the_nearest(run, tmp_path):
    sealed_again(run.save(tmp_path), entry="vea")
    with pytest.raises(RunError, match="Did you mean 'vae'"):
        Run.load(tmp_path)


@contextlib.contextmanager
def little_memory():
    """Refuse to the process more than half a gigabyte beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + 2**29
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the size of the process")
@pytest.mark.parametrize("part", ["model", "guide"])
def test_sizes_that_do_not_fit_the_weights_are_refused_before_they_are_allocated(
    run, tmp_path, part
):
    described = json.loads((run.save(tmp_path) / "config.json").read_text())
    size = {"model": "latent_dim", "guide": "hidden_dim"}[part]
    sealed_again(tmp_path, **{part: described[part] | {size: 10**9}})
    with (
        little_memory(),
        pytest.raises(RunError, match=r"^model\.safetensors .* of shape .* not \(.*10{9}"),
    ):
        Run.load(tmp_path)


def test_the_pair_of_an_unfinished_run_can_be_built_again(run, tmp_path):
    begin_run(tmp_path, run.model, run.guide, run.settings, False)
    with pytest.raises(RunError, match=f"did not finish; go on with `mutoscope resume {tmp_path}`"):
        Run.load(tmp_path)
    described = read_unfinished(tmp_path)
    assert described == describe_run(run.model, run.guide, run.settings, "training")
    assert described["settings"] == run.settings
    model, guide = build_pair(described)
    assert (model.config, guide.config) == (run.model.config, run.guide.config)
    assert {n: t.shape for n, t in weights(Run(model, guide)).items()} == {
        n: t.shape for n, t in weights(run).items()
    }


def test_a_finished_run_has_nothing_to_go_on_with(run, tmp_path):
    run.save(tmp_path / "two")
    for folder in (tmp_path / "two", FIXTURES / "schema_1"):
        with pytest.raises(RunError, match="has finished"):
            read_unfinished(folder)


def test_a_run_begins_in_the_place_of_another_only_when_asked(run, tmp_path):
    before = contents(run.save(tmp_path))
    (tmp_path / "checkpoint").mkdir()
    arguments = (*registered(), {}, False)
    for folder in (tmp_path, shutil.copytree(FIXTURES / "schema_1", tmp_path / "one")):
        with pytest.raises(RunError, match="holds a run already"):
            begin_run(folder, *arguments)
    assert contents(tmp_path) == before
    assert (tmp_path / "checkpoint").exists()
    begin_run(tmp_path, *arguments[:3], True)
    assert {path.name for path in tmp_path.iterdir()} == {"SHA256SUMS", "config.json", "one"}


def test_a_run_that_could_not_be_saved_does_not_begin(run, tmp_path):
    with pytest.raises(RunError, match="Settings and configurations"):
        begin_run(tmp_path, run.model, run.guide, {"a": object()}, False)
    assert not list(tmp_path.iterdir())


def test_without_a_folder_nothing_begins(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begin_run(None, run.model, run.guide, {}, False)
    assert not list(tmp_path.iterdir())


def test_a_description_names_versions_and_classes(run):
    described = describe_run(run.model, run.guide, {}, "finished")
    assert described["versions"].keys() == {"mutoscope", "torch", "pyro", "python"}
    assert described["versions"]["torch"] == torch.__version__
    assert described["classes"]["model"] == "mutoscope.zoo.baselines:VariationalAutoencoder"
    assert described["entry"] == "vae"
    other = describe_run(*unregistered(), {}, "training")
    assert (other["entry"], other["model"], other["guide"]) == (None, None, None)
    assert other["classes"]["guide"] == f"{__name__}:Part"
    assert other["dtypes"] == ["float32", "int64"]
