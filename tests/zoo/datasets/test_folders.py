from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mutoscope.zoo.datasets import images_from, open_data
from mutoscope.zoo.errors import DataError

GREY = np.random.default_rng(1).integers(0, 256, (4, 6, 8), dtype=np.uint8)


def save_folder(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")


def test_npy_is_told_by_content(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", GREY)
    renamed = (tmp_path / "images.npy").rename(tmp_path / "images.dat")
    np.testing.assert_array_equal(images_from(renamed).pixels[:, 0], GREY)


def test_npz_key_is_chosen_single_or_usual(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, anything=GREY)
    assert images_from(path).image_shape == (1, 6, 8)
    np.savez(path, images=GREY, labels=np.arange(4))
    assert images_from(path).name == "images"
    np.savez(path, first=GREY, second=GREY[:, :3])
    with pytest.raises(DataError, match=r"first, second[.] Name one as key"):
        images_from(path)
    assert images_from(path, key="second").image_shape == (1, 3, 8)
    with pytest.raises(DataError, match="has no array 'third'"):
        images_from(path, key="third")


def test_folder_of_images_at_any_depth(tmp_path: Path) -> None:
    save_folder(tmp_path / "a", GREY)
    np.testing.assert_array_equal(images_from(tmp_path).pixels[:, 0], GREY)
    save_folder(tmp_path / "b", np.stack([GREY] * 3, axis=-1))
    images = images_from(tmp_path)
    assert images.image_shape == (3, 6, 8)
    np.testing.assert_array_equal(images.pixels[0], images.pixels[4])


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no PNG or JPEG image"):
        images_from(tmp_path)
    save_folder(tmp_path, GREY)
    Image.fromarray(GREY[0, :3]).save(tmp_path / "short.png")
    with pytest.raises(DataError, match=r"has height and width \(6, 8\) but .*short.png \(3, 8\)"):
        images_from(tmp_path)
    (tmp_path / "short.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="is no readable image"):
        images_from(tmp_path)
    Image.fromarray(GREY[0].astype(np.uint16)).save(tmp_path / "short.png")
    with pytest.raises(DataError, match="8 bits a channel"):
        images_from(tmp_path)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    objects = np.array([GREY[0], None], dtype=object)
    np.save(tmp_path / "objects.npy", objects)
    np.savez(tmp_path / "objects.npz", images=objects)
    for name in ("objects.npy", "objects.npz"):
        with pytest.raises(DataError, match="Python objects"):
            images_from(tmp_path / name)


@pytest.mark.parametrize("name", ["images.npy", "images.npz"])
@pytest.mark.parametrize("kept", [12, -20])
def test_cut_off_files_are_refused(tmp_path: Path, name: str, kept: int) -> None:
    path = tmp_path / name
    np.save(path, GREY) if name.endswith("npy") else np.savez(path, images=GREY)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="damaged or cut off"):
        images_from(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("hello world")
    with pytest.raises(DataError, match=r"neither a [.]npy, [.]npz or IDX file"):
        images_from(tmp_path / "text.npy")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(DataError, match="is empty"):
        images_from(tmp_path / "empty.npy")
    with pytest.raises(DataError, match="does not exist"):
        images_from(tmp_path / "absent.npy")


def test_a_path_is_a_data_set(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", GREY)
    data = open_data(str(tmp_path / "mine.npy"), length=3, transforms=("translation_x",))
    assert (data.name, data.image_shape, data.length) == ("mine", (1, 6, 8), 3)
    np.save(tmp_path / "videos.npy", np.stack([GREY] * 5)[:, :, None])
    videos = open_data(str(tmp_path / "videos.npy"))
    assert (videos.length, videos.transforms, videos.train.truth) == (4, (), None)
