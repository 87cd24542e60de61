"""What ArviZ does with a posterior, a function each; needs NumPy, ArviZ and our adapter alone.

    python arviz_functions.py GROUPS.npz FOLDER

runs all of them on the groups in a file, under the ArviZ that is installed, and prints what ran.
"""

import json
import sys
import warnings
from pathlib import Path

import arviz as az
import numpy as np

from mutoscope.inference.labelled import Labelled, open_arviz, to_arviz
from mutoscope.inference.storage import storage_for

SINCE_ONE = int(az.__version__.split(".")[0]) >= 1
SOME = {"datum": [0, 1]}


def summary(idata, folder):
    table = az.summary(idata, var_names=["z"])
    assert len(table) == idata["posterior"].sizes["datum"]


def plot_forest(idata, folder):
    az.plot_forest(idata, var_names=["z"])


def plot_trace(idata, folder):
    (az.plot_trace_dist if SINCE_ONE else az.plot_trace)(idata, var_names=["z"], coords=SOME)


def plot_posterior(idata, folder):
    (az.plot_dist if SINCE_ONE else az.plot_posterior)(idata, var_names=["z"], coords=SOME)


def plot_pair(idata, folder):
    az.plot_pair(idata, var_names=["z"], coords=SOME)


def plot_ppc(idata, folder):
    (az.plot_ppc_dist if SINCE_ONE else az.plot_ppc)(idata)


def plot_ppc_of_the_prior(idata, folder):
    if SINCE_ONE:
        az.plot_ppc_dist(idata, group="prior_predictive")
    else:
        az.plot_ppc(idata, group="prior")


def plot_prior_beside_posterior(idata, folder):
    function = az.plot_prior_posterior if SINCE_ONE else az.plot_dist_comparison
    function(idata, var_names=["z"], coords=SOME)


def loo(idata, folder):
    found = az.loo(idata, pointwise=True)
    each = np.asarray(found.elpd_i if SINCE_ONE else found.loo_i)
    assert each.shape == (idata["posterior"].sizes["datum"],)
    assert np.isfinite(each).all()


def compare(idata, folder):
    table = az.compare({"one": idata, "other": idata})
    assert set(table.index) == {"one", "other"}


def hdi(idata, folder):
    bounds = np.asarray(az.hdi(idata)["z"])
    assert bounds.shape == (idata["posterior"].sizes["datum"], 2)
    assert (bounds[:, 0] < bounds[:, 1]).all()


def to_netcdf(idata, folder):
    idata.to_netcdf(str(folder / "whole.nc"), engine="h5netcdf")
    read = az.from_netcdf(str(folder / "whole.nc"), engine="h5netcdf")
    for group in names_of(idata):
        assert read[group].equals(idata[group])
        assert set(read[group].data_vars) == set(idata[group].data_vars)


FUNCTIONS = (
    summary,
    plot_forest,
    plot_trace,
    plot_posterior,
    plot_pair,
    plot_ppc,
    plot_ppc_of_the_prior,
    plot_prior_beside_posterior,
    loo,
    compare,
    hdi,
    to_netcdf,
)


def run(function, idata, folder):
    """Call a function and close its figures; ArviZ warns of what concerns others."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one chain, tails of weights, changes to matplotlib
        function(idata, folder)
    plt.close("all")


def names_of(idata):
    return list(idata.children) if SINCE_ONE else idata.groups()


def save_groups(path, groups, coords):
    """Write groups as plain arrays."""
    axes = {group: {n: v.axes for n, v in each.items()} for group, each in groups.items()}
    arrays = {f"{group}/{n}": v.values for group, each in groups.items() for n, v in each.items()}
    np.savez(path, about=json.dumps([axes, coords]), **arrays)


def load_groups(path):
    """Return what `save_groups` wrote."""
    with np.load(path) as arrays:
        axes, coords = json.loads(str(arrays["about"]))
        groups = {
            group: {n: Labelled(tuple(a), arrays[f"{group}/{n}"]) for n, a in each.items()}
            for group, each in axes.items()
        }
    return groups, coords


def write_in_parts(path, groups, coords):
    """Write groups to the disk, one draw after another."""
    lengths = {"draw": groups["posterior"]["z"].values.shape[1]}
    with storage_for(path)(path, dict.fromkeys(groups, lengths)) as file:
        for group, each in groups.items():
            for name, (axes, values) in each.items():
                if "draw" not in axes:
                    file.put(group, name, Labelled(axes, values))
                    continue
                for k in range(values.shape[1]):
                    file.put(group, name, Labelled(axes, values[:, k : k + 1]), {"draw": k})
        file.finish(coords, {"seed": 3})
    return open_arviz(path)


def main(groups, folder):
    import matplotlib as mpl

    mpl.use("Agg")
    groups, coords = load_groups(groups)
    idata = to_arviz(groups, coords, {"seed": 3})
    for function in FUNCTIONS:
        run(function, idata, folder)
    for name in ("parts.nc", "parts.zarr"):
        written = write_in_parts(folder / name, groups, coords)
        assert int(written.attrs["seed"]) == idata.attrs["seed"] == 3
        assert sorted(names_of(written)) == sorted(names_of(idata))
        for group in names_of(idata):
            assert written[group].equals(idata[group])
    assert not {"torch", "pyro"} & sys.modules.keys()
    print(json.dumps({"arviz": az.__version__, "ran": [each.__name__ for each in FUNCTIONS]}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
