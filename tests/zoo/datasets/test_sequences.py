import numpy as np
import pytest
import torch

from mutoscope.zoo.datasets import ImageSequences
from mutoscope.zoo.errors import DataError

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 4, 6, 8, 3), dtype=np.uint8)
GROUPS = np.arange(20) // 2


def test_frames_become_floats_channels_first() -> None:
    data = ImageSequences(FRAMES)
    assert data.image_shape == (3, 6, 8)
    assert data.length == 4
    images = data.train.batch([1])["images"][0]
    expected = FRAMES[data.train.rows[1]].transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(images, expected, rtol=1e-6)
    assert set(data.train[0]) == {"images"}


def test_splits_keep_groups_together_and_cover_all() -> None:
    data = ImageSequences(FRAMES, groups=GROUPS)
    rows = [split.rows for split in (data.train, data.validation, data.test)]
    assert torch.cat(rows).sort().values.tolist() == list(range(20))
    groups = [set(GROUPS[part].tolist()) for part in rows]
    assert [len(group) for group in groups] == [8, 1, 1]
    assert len(set.union(*groups)) == 10


def test_published_test_part_is_the_test_split() -> None:
    data = ImageSequences(FRAMES, groups=GROUPS, in_test=GROUPS >= 8)
    assert data.test.rows.tolist() == [16, 17, 18, 19]
    assert len(data.train) == 14
    with pytest.raises(DataError, match="both in the test split and outside"):
        ImageSequences(FRAMES, groups=GROUPS, in_test=np.arange(20) >= 17)


def test_truth_follows_the_split_and_shortening() -> None:
    number, time = np.arange(20), np.arange(80).reshape(20, 4)
    data = ImageSequences(FRAMES, truth={"number": number, "time": time}, varying=("time",))
    assert torch.equal(data.test.truth["number"], data.test.rows)
    short = data.shortened(length=2, limit=10)
    assert short.frames.shape == (10, 2, 3, 6, 8)
    assert short.train.truth["time"].shape == (8, 2)
    assert (short.train.truth["number"] % 2 == 0).all()
    with pytest.raises(DataError, match="sequences of 4 frames"):
        data.shortened(length=5)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (FRAMES[0], {}, "expected 5 axes"),
        (FRAMES[:, :1], {}, "sequences of 1 frame"),
        (FRAMES[..., :2], {}, "expected 1"),
        (FRAMES.astype(np.float32), {}, "expected floats in"),
        (FRAMES[:2], {}, "Found 2 groups of sequences"),
        (FRAMES, {"groups": np.zeros(20, dtype=int)}, "Found 1 groups"),
        (FRAMES, {"truth": {"action": np.zeros(19)}}, "action has shape"),
        (FRAMES, {"truth": {"x": np.zeros((20, 3))}, "varying": ("x",)}, "x has shape"),
    ],
)
def test_bad_sequences_are_refused(
    frames: np.ndarray, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ImageSequences(frames, **options)
