import subprocess
import sys

import pytest

from mutoscope.zoo.datasets import SOURCES, load_images, open_data
from mutoscope.zoo.errors import DataError


def test_digits_need_no_files() -> None:
    data = open_data("digits", transforms=["rotation"], length=5, limit=20, signed=True)
    assert (data.name, data.transforms, data.length) == ("digits", ("rotation",), 5)
    assert len(data.train) + len(data.validation) + len(data.test) == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "Unknown data set 'mnits'. Did you mean 'mnist'"),
        ("absent/images.npy", "does not exist. Known names: digits, mnist"),
        ("sprites", "Give their folder as data_dir"),
    ],
)
def test_bad_names_are_explained(name: str, message: str) -> None:
    assert "digits" in SOURCES
    with pytest.raises(DataError, match=message):
        load_images(name)


def test_bad_limit_is_named() -> None:
    with pytest.raises(DataError, match="limit=0"):
        open_data("digits", limit=0)


def test_recorded_motion_takes_no_motion_options(tmp_path: object) -> None:
    import numpy as np

    path = f"{tmp_path}/videos.npy"
    np.save(path, np.zeros((5, 3, 1, 4, 4), dtype=np.uint8))
    with pytest.raises(DataError, match="Leave out transforms, signed"):
        open_data(path, transforms=("rotation",), signed=True)
    assert open_data(path, length=2).length == 2


def test_import_is_cheap() -> None:
    heavy = "{'sklearn', 'h5py', 'pooch', 'PIL'}"
    code = f"import sys, mutoscope.zoo.datasets; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
