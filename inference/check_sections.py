"""The sections of a report on a posterior: each asks one question, and shows what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..zoo.errors import ConfigError, DataError
from .diagnostics import (
    Calibration,
    Coverage,
    Distance,
    Importance,
    PredictiveCheck,
    Sensitivity,
    importance_sampling,
    interval_coverage,
)
from .diagnostics.draws import names_in, quantities, variable
from .findings import Section
from .resampling import resample
from .units import SpeedUnits, describe_speeds

if TYPE_CHECKING:
    import arviz

__all__ = [
    "NEARLY_ALL",
    "coverages_of",
    "left_out",
    "of_calibration",
    "of_coverage",
    "of_importance",
    "of_predictions",
    "of_reference",
    "of_refinement",
    "of_sensitivity",
    "of_speeds",
]

NEARLY_ALL = 0.95  # of the data have to have weights that can be used


def of_importance(importance: Importance) -> Section:
    """Tell what importance weights say of a guide."""
    from .plots import plot_khat

    numbers = {
        "ELBO (nats per datum)": f"{float(importance.elbo.mean()):.2f}",
        "importance-weighted bound": f"{float(importance.bound.mean()):.2f}",
        "Pareto k, median": f"{float(importance.khat.median()):.2f}",
        f"Pareto k up to {importance.largest_khat:.2f}": f"{float(importance.usable.mean()):.0%}",
        "effective draws, median": f"{float(importance.effective_draws.median()):.0f}",
    }
    picture = plot_khat(importance.khat.values, largest=importance.largest_khat)
    return Section(
        "Does the guide cover the posterior?", str(importance), numbers, {"Pareto k": picture}
    )


def left_out(size: int, steps: int) -> Section:
    """Tell that refinement was not tried.

    Args:
        size: How many numbers of each datum it would move.
        steps: Of how many steps.
    """
    words = (
        f"Not tried: each datum has {size} numbers to be moved, which takes long. Ask for it by "
        f"Budget(refine={steps}), or `check --refine {steps}`."
    )
    return Section("Would refinement help?", words, {}, {})


def of_refinement(
    before: Importance,
    coverages: Mapping[str, Coverage],
    refined: arviz.InferenceData,
    steps: int,
    seed: int,
) -> Section:
    """Tell what refinement mends, and what resampling after it.

    Args:
        before: Importance weights of the guide.
        coverages: Of its intervals.
        refined: Draws of the refined guide.
        steps: Number of steps that refined it.
        seed: Of resampling.
    """
    from .plots import plot_khat

    after = importance_sampling(refined)
    medians = [float(each.khat.median()) for each in (before, after)]
    shares = [float(each.usable.mean()) for each in (before, after)]
    words = [
        f"Refining the guide for each datum by {steps} steps takes the median Pareto k from "
        f"{medians[0]:.2f} to {medians[1]:.2f}, and raises the importance-weighted bound by "
        f"{float((after.bound - before.bound).mean()):.1f} nats per datum."
    ]
    datum = str(after.khat.dims[0])
    own = all(datum in values.dims for values in refined["posterior"].data_vars.values())
    call = f"run.posterior(data, refine={steps}{', resample=True' if own else ''})"
    if shares[1] >= NEARLY_ALL:
        words.append(f"That is enough for nearly all data: use {call}.")
    else:
        words.append(
            f"That is enough for {shares[1]:.0%} of the data. For the others weights of "
            f"{after.draws} draws cannot mend what the refined guide misses; take more steps, or "
            f"only the data whose `khat` in {call} is up to {after.largest_khat:.2f}."
        )
    numbers = {
        "median Pareto k, before and after": f"{medians[0]:.2f}, {medians[1]:.2f}",
        "usable, before and after": f"{shares[0]:.0%}, {shares[1]:.0%}",
        "effective draws, median": f"{float(after.effective_draws.median()):.0f}",
    }
    # Latents that all data share cannot be chosen by weights of single data.
    mended = coverages_of(resample(refined, seed=seed), seed) if own else {}
    for name, repaired in mended.items():
        pair = (coverages[name], repaired) if name in coverages else (repaired,)
        shown = ", ".join(f"{float(each.share.sel(level=0.9).mean()):.0%}" for each in pair)
        numbers[f"coverage of 90% intervals of {name}, before and after repair"] = shown
    picture = plot_khat(after.khat.values, largest=after.largest_khat)
    figures = {"Pareto k of the refined guide": picture}
    return Section("Would refinement help?", "\n".join(words), numbers, figures)


def of_calibration(calibration: Calibration) -> Section:
    """Tell whether a guide finds again what its model makes up."""
    from .plots import plot_calibration

    names = [str(name) for name in calibration.place["quantity"].values]
    picture = plot_calibration(
        calibration.place.values, names=names, probability=calibration.probability
    )
    return Section(
        "Does the guide find again what the model makes up?",
        str(calibration),
        calibration.verdicts,
        {"Simulation-based calibration": picture},
    )


def coverages_of(idata: arviz.InferenceData, seed: int) -> dict[str, Coverage]:
    """Return the coverage of each variable whose truth is known, along the same axes.

    Speeds, whose truth is that of factors and not of fields, are put in its units first: these are
    learned from the first half of the sequences, and intervals are those of the second half.
    """
    found = {}
    for name in names_in(idata, "constant_data"):
        truth = idata["constant_data"][name]
        if name in names_in(idata, "posterior"):
            draws = variable(idata, "posterior", name)
            if set(draws.dims[1:]) == set(truth.dims):
                found[name] = interval_coverage(draws, truth, seed=seed)
    if (units := _units(idata, seed)) is not None:
        first = len(idata["constant_data"]["speed"]) // 2
        world = units.convert(idata, seed=seed)
        rest = {world.dims[2]: slice(first, None)}
        truth = idata["constant_data"]["speed"].isel(rest)
        found["speed in units of the truth"] = interval_coverage(world.isel(rest), truth, seed=seed)
    return found


def _units(idata: arviz.InferenceData, seed: int) -> SpeedUnits | None:
    """Return units learned from half of the sequences; None if the data do not offer them."""
    if any("speed" not in names_in(idata, group) for group in ("constant_data", "posterior")):
        return None
    if (idata["constant_data"]["speed"].ndim, idata["posterior"]["speed"].ndim) != (3, 5):
        return None
    try:
        return SpeedUnits.learn(
            idata, sequences=range(len(idata["constant_data"]["speed"]) // 2), seed=seed
        )
    except (ConfigError, DataError):  # too few labels, or a factor that no field moves
        return None


def of_coverage(name: str, coverage: Coverage) -> Section:
    """Tell how often intervals of a variable hold the truth."""
    from .plots import plot_coverage

    labels = (label for label, _ in quantities(name, coverage.share, None))
    names = [label.removeprefix(f"{name}[").removesuffix("]") for label in labels]
    parts = (each.values for each in (coverage.share, coverage.lower, coverage.upper))
    picture = plot_coverage(coverage.share["level"].values, *parts, names=names)
    return Section(
        f"Do intervals of {name} hold the truth?", str(coverage), {}, {"Coverage": picture}
    )


def of_speeds(idata: arviz.InferenceData, seed: int) -> tuple[Section, ...]:
    """Show the speeds of a sequence, where the data tell of their units."""
    from .plots import plot_forest

    units = _units(idata, seed)
    if units is None:
        return ()
    world = units.convert(idata, seed=seed)
    last = world.sizes[world.dims[2]] - 1
    words = describe_speeds(world, sequence=last, frame=0)
    picture = plot_forest(world, sequence=last)
    return (Section("What do posteriors look like?", words, {}, {"Speeds": picture}),)


def of_reference(distances: Mapping[str, Distance], *, count: int) -> Section:
    """Tell how far draws of some guides are from chains for the same data."""
    words = [f"Markov chains for the first {count} data, to which draws are compared."]
    words += [
        f"{name}: {line}" for name, each in distances.items() for line in str(each).split("\n")
    ]
    return Section("How far are draws from a reference posterior?", "\n".join(words), {}, {})


def of_sensitivity(sensitivity: Sensitivity) -> Section:
    """Tell what posteriors rest on."""
    return Section("What do posteriors rest on?", str(sensitivity), sensitivity.diagnoses, {})


def of_predictions(predictive: PredictiveCheck) -> Section:
    """Tell whether a model makes up such data."""
    numbers = {
        str(name): f"{share:.0%} of replications above"
        for name, share in zip(
            predictive.overall["discrepancy"].values, predictive.overall.values, strict=True
        )
    }
    return Section("Does the model make up such data?", str(predictive), numbers, {})
