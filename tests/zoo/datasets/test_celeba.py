import numpy as np
import pytest
from PIL import Image

from mutoscope.zoo.datasets import celeba, load_images
from mutoscope.zoo.datasets.stills import open_stills
from mutoscope.zoo.errors import DataError

COUNT = 30
HEADS = ("Bald", "Smiling")


@pytest.fixture
def published(tmp_path):
    """A folder with the names and layout of the published one, of pictures of one colour each."""
    pictures = tmp_path / "img_align_celeba"
    pictures.mkdir()
    names = [f"{k:06d}.jpg" for k in range(1, COUNT + 1)]
    for k, name in enumerate(names):
        colour = np.full((218, 178, 3), (8 * k, 255 - 8 * k, 128), np.uint8)
        colour[:20] = 0  # which the middle square leaves out
        Image.fromarray(colour).save(pictures / name, quality=95)
    parts = [2 if k >= 24 else 1 if k >= 20 else 0 for k in range(COUNT)]
    lines = [f"{name} {part}\n" for name, part in zip(names, parts, strict=True)]
    (tmp_path / "list_eval_partition.txt").write_text("".join(lines))
    rows = [f"{name}  {1 if k % 2 else -1} -1\n" for k, name in enumerate(names)]
    text = f"{COUNT}\n{' '.join(HEADS)} \n{''.join(rows)}"
    (tmp_path / "list_attr_celeba.txt").write_text(text)
    return tmp_path


def test_faces_are_cut_reduced_and_labelled(published):
    train, test = celeba(published), celeba(published, "test", size=32)
    assert (len(train), len(test)) == (24, 6)
    assert train.image_shape == (3, 64, 64)
    assert test.image_shape == (3, 32, 32)
    assert train.label_names == HEADS
    assert train.labels.tolist() == [[k % 2, 0] for k in range(24)]
    for k in (0, 23):
        colour = train.pixels[k].float().flatten(1)
        assert colour.std(1).max() < 3
        expected = np.array([8 * k, 255 - 8 * k, 128])
        assert np.abs(colour.mean(1).numpy() - expected).max() < 4
    assert len(celeba(published, limit=5)) == 5


def test_it_is_a_source_of_still_images(published):
    assert len(load_images("celeba", published)) == 24
    data = open_stills("celeba", published)
    assert len(data.test) == 6
    assert len(data.train) + len(data.validation) == 24


def test_attributes_are_optional(published):
    (published / "list_attr_celeba.txt").unlink()
    assert celeba(published).labels is None


def test_what_is_missing_is_named(published):
    with pytest.raises(DataError, match="Give their folder as data_dir"):
        celeba(None)
    picture = published / "img_align_celeba" / "000003.jpg"
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.raises(DataError, match=r"000003.jpg is no readable image"):
        celeba(published)
    picture.unlink()
    with pytest.raises(DataError, match=r"000003.jpg is missing.*img_align_celeba.zip"):
        celeba(published)
    text = (published / "list_attr_celeba.txt").read_text().splitlines()
    (published / "list_attr_celeba.txt").write_text("\n".join(text[:-1]))
    with pytest.raises(DataError, match=r"lacks the 2 attributes of 1 pictures, such as 000030"):
        celeba(published, "test")
    (published / "list_eval_partition.txt").unlink()
    with pytest.raises(DataError, match=r"none of list_eval_partition.txt"):
        celeba(published)


def test_pictures_that_were_not_unpacked(published, tmp_path):
    for picture in (published / "img_align_celeba").iterdir():
        picture.unlink()
    with pytest.raises(DataError, match=r"no pictures such as 000001.jpg.*Unpack"):
        celeba(published)
