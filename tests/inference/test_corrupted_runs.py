"""No damage to a run folder passes: hundreds of kinds are drawn, and each is refused."""

import json
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mutoscope.inference import Run
from mutoscope.inference.sealed import seal
from mutoscope.zoo.errors import RunError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "runs" / "schema_2"
CONFIG, WEIGHTS, HISTORY = SEALED = ("config.json", "model.safetensors", "history.csv")
FILES = (*SEALED, "SHA256SUMS")


class Marker:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def replace(folder, name, content):
    """Put other content in a file, and seal the folder again, so that hashes are right."""
    files = {each: (folder / each).read_bytes() for each in SEALED} | {name: content}
    seal(
        folder,
        {
            n: lambda path, content=content: path.write_bytes(content)
            for n, content in files.items()
        },
    )


def replace_weights(folder, change):
    """Change tensors by name, in place, and seal the folder again."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / "other")
    replace(folder, WEIGHTS, (folder / "other").read_bytes())


def a_bit_flipped(folder, chance):
    path = folder / chance.choice(FILES)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut_off(folder, chance):
    path = folder / chance.choice(FILES)
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def files_missing(folder, chance):
    for name in chance.sample(FILES, chance.randint(1, 4)):
        (folder / name).unlink()


def another_shape(folder, chance):
    def change(tensors):
        name = chance.choice(sorted(tensors))
        tensor = tensors[name]
        others = [tensor[None], torch.stack([tensor, tensor]), tensor.flatten()[:0]]
        if tensor.ndim > 1:
            others += [tensor.flatten(), tensor[:-1], tensor[..., 1:].contiguous()]
        tensors[name] = chance.choice(others)

    replace_weights(folder, change)


def another_dtype(folder, chance):
    def change(tensors):
        names = sorted(tensors)
        dtypes = [
            torch.float64,
            torch.float16,
            torch.bfloat16,
            torch.int32,
            torch.uint8,
            torch.bool,
        ]
        dtype = chance.choice(dtypes)
        for name in chance.choice([names, [chance.choice(names)]]):
            tensors[name] = tensors[name].to(dtype)

    replace_weights(folder, change)


def other_tensors(folder, chance):
    def change(tensors):
        name = chance.choice([name for name in sorted(tensors) if tensors[name].ndim])
        value = chance.choice(
            [float("nan"), float("inf"), -float("inf"), "missing", "more", "named"]
        )
        if isinstance(value, float):
            tensors[name].flatten()[chance.randrange(tensors[name].numel())] = value
        elif value == "more":
            tensors[f"{name}2"] = torch.ones(2)
        else:
            tensor = tensors.pop(name)
            if value == "named":
                tensors[f"other.{name}"] = tensor

    replace_weights(folder, change)


def foreign_content(folder, chance):
    """Another structure, encoding, number or format, and a pickle, with hashes that are right."""
    marker = pickle.dumps(Marker(folder.parent / "marker"))
    text = (folder / CONFIG).read_text()
    texts = [
        *("[]", "null", "1", '"x"', "{}", '{"schema": 2}', "[" * 10**5, "{" * 10**5, "", "\0"),
        '{"a":' * 10**4 + "1" + "}" * 10**4,
        *(text.replace("0.002", number) for number in ("NaN", "-Infinity", "1e999", "9" * 5000)),
        text.replace("finished", "training"),
        text.replace("finished", "done"),
        text.replace('"hidden_dim"', '"hiden_dim"'),
        text + text,
        json.dumps([json.loads(text)]),
    ]
    contents = [each.encode() for each in texts] + [text.encode("utf-16"), b"\xff" + text.encode()]
    history = (folder / HISTORY).read_bytes()
    name = chance.choice(SEALED)
    choices = {
        CONFIG: [marker, *contents],
        WEIGHTS: [marker, text.encode(), history, b"", b"\xff" * 99, bytes(8), bytes(99)],
        HISTORY: [
            *(
                marker,
                b"",
                b"step,step\n1,2\n",
                b"step\nnonsense\n",
                history + b"1\n",
                b"a\n\xff\n",
            ),
            *(history + b"\n", history.replace(b",", b"", 1), b'a\n"1', b"a\n" + b"1" * 2**18),
        ],
    }
    replace(folder, name, chance.choice(choices[name]))


def another_configuration(folder, chance):
    """A value of another type or out of all proportion, with hashes that are right."""
    described = json.loads((folder / CONFIG).read_text())
    names = [name for name in described if name not in ("model", "guide")]
    sizes = [(part, n) for part in ("model", "guide") for n in described[part] if n != "length"]
    if chance.random() < 0.5:
        part, name = chance.choice(sizes)
        odd = [None, "2", [], {}, [[]], -1, 0, 1.5, True, 10**9, 10**12, 10**20, 10**400]
        described[part][name] = chance.choice([*odd, [1, 10**9, 10**9], [1, 4], [1, 4, 4, 4]])
    elif chance.random() < 0.3:
        described[chance.choice(["model", "guide"])] = chance.choice(
            [None, [], 1, "x", {}, {"a": 1}]
        )
    else:
        name = chance.choice(names)
        of_no_type = [0, 1.5, "x", True, -1] + [[{}], [1]] * (name != "dtypes")
        described[name] = chance.choice([["float64"], *of_no_type])
    replace(folder, CONFIG, json.dumps(described).encode())


KINDS = (
    a_bit_flipped,
    cut_off,
    files_missing,
    another_shape,
    another_dtype,
    other_tensors,
    foreign_content,
    another_configuration,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    for name in FILES:
        shutil.copyfile(FIXTURE / name, tmp_path / "run" / name)
    return tmp_path / "run"


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("corrupt", KINDS, ids=lambda kind: kind.__name__)
def test_it_is_refused(folder, corrupt, seed):
    corrupt(folder, random.Random(seed))
    with pytest.raises(RunError):
        Run.load(folder)
    assert not (folder.parent / "marker").exists()


@pytest.mark.parametrize("name", SEALED)
def test_a_pickle_is_refused_and_never_run(folder, name):
    replace(folder, name, pickle.dumps(Marker(folder.parent / "marker")))
    with pytest.raises(RunError, match=f"{name} is damaged"):
        Run.load(folder)
    assert not (folder.parent / "marker").exists()
    pickle.loads((folder / name).read_bytes())
    assert (folder.parent / "marker").exists()


def test_the_copy_that_is_corrupted_would_load(folder):
    for name in SEALED:
        replace(folder, name, (folder / name).read_bytes())
    replace_weights(folder, lambda tensors: None)
    assert Run.load(folder).history
