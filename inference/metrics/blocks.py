"""Which inferred block is which true one, and how well it says what that is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment

from ...zoo.errors import ConfigError, DataError
from .arrays import Array, checked

__all__ = ["RANDOM_ROTATION", "BlockMatching", "group_latents", "match_blocks", "matched"]

RANDOM_ROTATION = "a random rotation of two true latents scores about 0.9"

_AXES = ("datum", "block", "latent")
_DEPTH = 10


@dataclass(frozen=True, eq=False)
class BlockMatching:
    """A one-to-one match of inferred blocks to true ones.

    Attributes:
        scores: How well each inferred block predicts each true one, from 0 to 1.
        block_of_truth: The inferred block matched to each true one; -1 where there are too few.
        score: Mean over the true blocks, from 0 to 1 (the latent matching score of Lachapelle et
            al. 2023, there times 100). Where blocks have one latent, a random rotation of the true
            latents scores about 0.9: a high score alone is no evidence of identification.
    """

    scores: Float[np.ndarray, "truth block"]
    block_of_truth: Int[np.ndarray, " truth"]
    score: float


def match_blocks(
    inferred: Shaped[Array, "..."],
    true: Shaped[Array, "..."],
    *,
    by: Literal["rank", "tree"] = "rank",
    seed: int = 0,
) -> BlockMatching:
    """Match inferred blocks to true ones so that the sum of their scores is largest.

    Args:
        inferred: Latents of each datum, (datum, block, latent).
        true: True ones, likewise; there may be more or fewer blocks.
        by: "rank": size of Spearman's correlation, for blocks of one latent. "tree": share of the
            variance of the true block, on the second half of the data, that a regression tree of
            depth 10 explains which was fitted on the first half; negative ones count as zero.
        seed: Of the trees.

    Raises:
        ConfigError: The score is unknown.
        DataError: Shapes do not fit, a number is not finite, or blocks have several latents where
            ranks are asked for.
    """
    if by not in _SCORES:
        raise ConfigError(f"Found by={by!r}, but one of {', '.join(_SCORES)} is needed.")
    inferred = checked(inferred, "inferred latents", _AXES)
    true = checked(true, "true latents", _AXES)
    if len(inferred) != len(true) or len(true) < 4:
        raise DataError(
            f"Found latents of {len(inferred)} data and true ones of {len(true)}. Give those of "
            "the same data, of which at least 4 are needed."
        )
    return matched(_SCORES[by](inferred, true, seed))


def matched(scores: Float[np.ndarray, "truth block"]) -> BlockMatching:
    """Return the one-to-one match with the largest sum of scores (the Hungarian method)."""
    block_of_truth = np.full(len(scores), -1)
    rows, columns = linear_sum_assignment(-scores)
    block_of_truth[rows] = columns
    return BlockMatching(scores, block_of_truth, float(scores[rows, columns].sum() / len(scores)))


def group_latents(
    latents: Shaped[Array, "..."], partition: Sequence[Sequence[int]]
) -> Float[np.ndarray, "datum block latent"]:
    """Return latents as blocks, for models that have none of their own.

    Args:
        latents: Latents of each datum, (datum, latent).
        partition: Which latents are in each block: every one in exactly one, as many in each.

    Raises:
        ConfigError: There is one block only, they differ in size, or a latent is missed, repeated
            or unknown.
        DataError: The shape is another, or a number is not finite.
    """
    latents = checked(latents, "latents", ("datum", "latent"))
    named = [index for block in partition for index in block]
    count = latents.shape[1]
    missed = sorted(set(range(count)) - set(named))
    repeated = sorted({index for index in named if named.count(index) > 1})
    unknown = sorted(set(named) - set(range(count)))
    if missed or repeated or unknown:
        raise ConfigError(
            f"Found the partition {[list(block) for block in partition]} of {count} latents, which "
            f"misses {missed}, repeats {repeated} and names {unknown} that do not exist. Name each "
            f"of 0 to {count - 1} once."
        )
    if len(partition) < 2 or len({len(block) for block in partition}) > 1:
        raise ConfigError(
            f"Found blocks of {[len(block) for block in partition]} latents, but two blocks or "
            "more, all of one size, are needed."
        )
    found: np.ndarray = latents[:, np.asarray(partition)]
    return found


def _by_rank(inferred: np.ndarray, true: np.ndarray, seed: int) -> np.ndarray:
    from scipy.stats import rankdata

    if inferred.shape[2] != 1 or true.shape[2] != 1:
        raise DataError(
            f"Found blocks of {inferred.shape[2]} and {true.shape[2]} latents, but ranks need "
            "blocks of one. Use by='tree'."
        )
    ranks = [rankdata(each[..., 0], axis=0) for each in (true, inferred)]
    centred = [each - each.mean(0) for each in ranks]
    lengths = [np.sqrt((each**2).sum(0)) for each in centred]
    products = centred[0].T @ centred[1]
    return np.abs(products) / np.maximum(np.outer(*lengths), np.finfo(float).tiny)


def _by_tree(inferred: np.ndarray, true: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.metrics import r2_score
    from sklearn.tree import DecisionTreeRegressor

    half = len(true) // 2
    scores = np.empty((true.shape[1], inferred.shape[1]))
    for column in range(inferred.shape[1]):
        read = inferred[:, column]
        for row in range(true.shape[1]):
            tree = DecisionTreeRegressor(max_depth=_DEPTH, random_state=seed)
            tree.fit(read[:half], true[:half, row])
            scores[row, column] = r2_score(true[half:, row], tree.predict(read[half:]))
    return np.clip(scores, 0, 1)


_SCORES: Mapping[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "rank": _by_rank,
    "tree": _by_tree,
}
