"""Files that are random, cut off, altered or hold something else are read, or refused by name."""

import contextlib
import gzip
import io
import pickle
import struct

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from PIL import Image

from mutoscope.zoo.datasets import (
    Images,
    ImageSequences,
    TransformedImages,
    dsprites,
    falcor3d,
    images_from,
    load_images,
    mnist,
    moving_mnist,
    mpi3d,
    open_data,
    read_idx,
    shapes3d,
    sprites,
    two_dsprites,
)
from mutoscope.zoo.errors import DataError

FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True, scope="module")
def _no_folder_in_the_tree(tmp_path_factory):
    configuration.set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))


def written(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def npy(array):
    return written(lambda file: np.save(file, array))


def npz(arrays):
    return written(lambda file: np.savez_compressed(file, **arrays))


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype("u1").tobytes()


def picture(array, kind):
    return written(lambda file: Image.fromarray(array).save(file, kind))


def hdf5(arrays):
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, array in arrays.items():
            content[name] = array
    return file.getvalue()


GREY, RGB, VIDEOS = (
    np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for shape in [(10, 6, 6), (10, 6, 6, 3), (10, 4, 6, 6, 3)]
)
CLASSES, SWEEP = np.arange(60).reshape(10, 6), np.arange(40).reshape(10, 4)
ARCHIVES = {
    "dsprites": {"imgs": GREY % 2, "latents_classes": CLASSES},
    "shapes3d": {"images": RGB, "labels": CLASSES},
    "falcor3d": {"images": RGB, "latents_classes": CLASSES, "factor_names": np.array(["a"] * 6)},
    "mpi3d": {
        "images": VIDEOS,
        "variant": SWEEP[:, 0],
        "clip": SWEEP[:, 0],
        "factor": SWEEP[:, 0],
        "factor_class": SWEEP,
    },
    "moving_mnist": {
        "frames": VIDEOS[..., 0].swapaxes(0, 1),
        "position": np.zeros((10, 4, 2, 2)),
        "digit_index": CLASSES[:, :2],
    },
    "two_dsprites": {"image": VIDEOS, "position": np.zeros((10, 4, 2, 2)), "color": SWEEP},
    "sprites": {
        "frames": VIDEOS,
        "attributes": SWEEP,
        "action": SWEEP[:, 0],
        "direction": SWEEP[:, 0],
    },
}


def archive(kind, arrays):
    return hdf5(arrays) if kind == "shapes3d" else npz(arrays)


WHOLE = {
    "npy": npy(RGB),
    "npz": npz({"images": RGB / 255}),
    "idx": idx(GREY),
    "idx.gz": gzip.compress(idx(GREY), mtime=0),
    "png": picture(RGB[0], "png"),
    "jpeg": picture(RGB[0], "jpeg"),
    "mnist": idx(GREY),
    **{kind: archive(kind, arrays) for kind, arrays in ARCHIVES.items()},
}
READERS = {
    "dsprites": dsprites,
    "shapes3d": shapes3d,
    "falcor3d": falcor3d,
    "mpi3d": mpi3d,
    "moving_mnist": moving_mnist,
    "two_dsprites": two_dsprites,
    "sprites": sprites,
    "mnist": mnist,
}
# Where a reader looks into a folder: what the file is called there, and what lies beside it.
CALLED = {
    "png": "a.png",
    "jpeg": "a.jpg",
    "mnist": "train-images-idx3-ubyte",
    "sprites": "sprites_train.npz",
}
BESIDE = {
    "png": {"b.png": WHOLE["png"], "c.png": WHOLE["png"]},
    "jpeg": {"b.png": WHOLE["png"], "c.png": WHOLE["png"]},
    "mnist": {
        "train-labels-idx1-ubyte": idx(SWEEP[:, 0]),
        "t10k-images-idx3-ubyte": idx(GREY),
        "t10k-labels-idx1-ubyte": idx(SWEEP[:, 0]),
    },
    "sprites": {
        "sprites_test.npz": npz(ARCHIVES["sprites"] | {"attributes": 100 + SWEEP}),
    },
}


def read(folder, kind, content):
    """Put a file of a kind into a folder, and return the pixels that are read from it."""
    for name, whole in BESIDE.get(kind, {}).items():
        (folder / name).write_bytes(whole)
    path = folder / CALLED.get(kind, "file")
    path.write_bytes(content)
    place = folder if kind in CALLED else path
    found = READERS.get(kind, images_from)(place)
    open_data(*((kind, place) if kind in READERS else (str(place),)))
    return found.pixels if isinstance(found, Images) else found.frames


def refusal(folder, kind, content):
    """Return why a file is refused, or nothing."""
    try:
        read(folder, kind, content)
    except DataError as error:
        return str(error)
    return None


def refused(folder, kind, content):
    """Tell whether a file is refused, in one paragraph if it is."""
    said = refusal(folder, kind, content)
    assert said is None or (said.strip() and "\n" not in said)
    return said is not None


@st.composite
def damaged(draw, content):
    position = draw(st.integers(0, len(content) - 1))
    how = draw(st.sampled_from(["cut", "flip", "flip", "insert", "random"]))
    if how == "cut":
        return content[:position]
    if how == "flip":
        changed = bytearray(content)
        for place in {position, *draw(st.lists(st.integers(0, min(200, len(content)) - 1)))}:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        return bytes(changed)
    inserted = draw(st.binary(min_size=1, max_size=50))
    return content[:position] + inserted + content[position:] if how == "insert" else inserted


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_files_are_read(tmp_path, kind):
    assert not refused(tmp_path, kind, WHOLE[kind])


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    @FUZZ
    @given(damaged(WHOLE[kind]))
    def holds(content):
        refused(tmp_path, kind, content)

    holds()


@pytest.mark.parametrize("kind", [kind for kind in WHOLE if kind not in ("png", "jpeg")])
def test_files_that_are_cut_off_are_refused(tmp_path, kind):
    @FUZZ
    @given(st.integers(0, len(WHOLE[kind]) - 1))
    def holds(length):
        assert refused(tmp_path, kind, WHOLE[kind][:length])

    holds()


@pytest.mark.parametrize("kind", ["npz", "idx.gz", "two_dsprites"])
def test_a_flipped_bit_under_a_checksum_is_refused_or_changes_nothing(tmp_path, kind):
    expected = read(tmp_path, kind, WHOLE[kind])

    @FUZZ
    @given(st.integers(0, 8 * len(WHOLE[kind]) - 1))
    def holds(bit):
        content = bytearray(WHOLE[kind])
        content[bit // 8] ^= 1 << bit % 8
        assert refused(tmp_path, kind, content) or read(tmp_path, kind, content).equal(expected)

    holds()


ARRAYS = st.builds(
    np.zeros,
    array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4) | st.just((10,)),
    st.sampled_from(
        ["u1", "i8", ">i2", "u4", "f2", "f4", ">f8", "g", "?", "c8", "U3", "M8[s]", "V2"]
    ),
)


@pytest.mark.parametrize("take", [Images.from_array, ImageSequences, TransformedImages])
def test_arrays_of_any_shape_and_type_are_taken_or_refused(take):
    @FUZZ
    @given(ARRAYS)
    def holds(array):
        with contextlib.suppress(DataError):
            take(array)

    holds()


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_of_other_arrays_are_read_or_refused(tmp_path, kind):
    good = ARCHIVES[kind]
    other = {name: st.sampled_from([*good.values()]) | ARRAYS for name in good}

    @FUZZ
    @given(
        st.dictionaries(st.sampled_from([*good]), ARRAYS), st.fixed_dictionaries({}, optional=other)
    )
    def holds(some, any_of):
        for arrays in (good | some, any_of):
            if kind != "shapes3d" or not any(a.dtype.kind in "UM" for a in arrays.values()):
                refused(tmp_path, kind, archive(kind, arrays))

    holds()


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_missing_array_is_named(tmp_path, kind):
    first, *rest = ARCHIVES[kind]
    with pytest.raises(DataError, match=first):
        read(tmp_path, kind, archive(kind, {name: ARCHIVES[kind][name] for name in rest}))


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "kind", [kind for kind in WHOLE if kind not in ("png", "jpeg", "shapes3d")]
)
def test_pickles_are_refused_and_never_run(tmp_path, kind):
    trap = tmp_path / "sprung"
    objects = np.array([Trap(trap)] * 10)
    names = ARCHIVES.get(kind, {"images": None})
    for content in (pickle.dumps(Trap(trap)), npy(objects), npz(dict.fromkeys(names, objects))):
        assert refused(tmp_path, kind, content)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap))).close()
    assert trap.exists()


@pytest.mark.parametrize("name", ["\0", "x" * 300, "~nobody_of_that_name/x", "\udcff", "a/\n/b"])
def test_impossible_paths_are_refused(name):
    for call in (images_from, load_images, read_idx, *READERS.values()):
        with pytest.raises(DataError):
            call(name)
