"""All scores of codes against true factors, in one table."""

import numpy as np
from jaxtyping import Shaped

from .arrays import Array
from .factors import codes_and_factors
from .importances import Importances, dci
from .information import info_mec, shared_information
from .recovery import explained_variance, mean_correlation
from .robustness import interventional_robustness
from .separability import separability

__all__ = ["disentanglement"]


def disentanglement(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    bins: int | None = None,
    trees: int = 100,
    importances: Importances | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Score codes in all ways; each is explained where it is computed.

    Args:
        codes: What is scored.
        factors: True ones of the same data, shuffled.
        bins: None for factors that are classes; else they are continuous, and so many classes of
            equal size are made of them where a score needs classes.
        trees: Rounds of boosting behind the scores called DCI.
        importances: What `dci` returned for them, where that is known.
        seed: Of what is fitted.

    Returns:
        Scores by name, the higher the better, 1 for codes that are the factors. Correlations of
        classes are those of their numbers.

    Raises:
        ConfigError: There are fewer than 2 bins or 1 tree.
        DataError: Shapes do not fit, a number is not finite, or a factor never changes or has too
            many distinct values to be classes.
    """
    found, true = codes_and_factors(codes, factors)
    if importances is None:
        importances = dci(found, true, bins=bins, trees=trees, seed=seed)
    shared = shared_information(found, true, bins=bins)
    estimated = info_mec(found, true, bins=bins, seed=seed)
    return {
        "DCI disentanglement": importances.disentanglement,
        "DCI completeness": importances.completeness,
        "DCI informativeness": importances.informativeness,
        "MIG": shared.gap,
        "SAP": separability(found, true, continuous=bins is not None, seed=seed).score,
        "modularity": shared.modularity,
        "InfoM": estimated.modularity,
        "InfoE": estimated.explicitness,
        "InfoC": estimated.compactness,
        "IRS": interventional_robustness(found, true, bins=bins).score,
        "MCC (Pearson)": mean_correlation(found, true).score,
        "MCC (Spearman)": mean_correlation(found, true, by="spearman").score,
        "R²": float(np.mean(explained_variance(found, true))),
    }
