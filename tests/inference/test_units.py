import json

import numpy as np
import pytest

from mutoscope.inference.diagnostics import interval_coverage
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.units import SpeedUnits, describe_speeds
from mutoscope.zoo.errors import ConfigError, DataError

from .made_speeds import DRAWN, FACTORS, FIELDS, LABELLED, grown, made, posterior, turned


def learned(sequences, seed=0, **options):
    true, field = made(sequences, seed, **options)
    return SpeedUnits.learn(posterior(field, true))


@pytest.fixture(scope="module")
def units():
    return learned(LABELLED)


def mean_width(speeds, true):
    moving = true != 0
    low, high = np.quantile(speeds.values.reshape(-1, *true.shape), (0.05, 0.95), axis=0)
    return np.array([(high - low)[..., k][moving[..., k]].mean() for k in range(2)])


@pytest.mark.parametrize(("noise", "drift"), [(0.02, 0.0), (0.15, 0.1)])
def test_intervals_hold_the_truth_as_often_as_they_say(noise, drift):
    units = learned(LABELLED, noise=noise, drift=drift)
    true, field = made(400, 1, noise=noise, drift=drift)
    speeds = units.convert(posterior(field))
    for late in (slice(0, 4), slice(4, 8)):
        part = speeds.isel(time=late)
        found = interval_coverage(part, true[:, late]).share.values
        assert np.abs(found - np.array([0.5, 0.8, 0.9, 0.95])[:, None]).max() < 0.06


def test_without_the_map_they_do_not():
    true, field = made(400, 1, noise=0.15)
    scaled = posterior(field).posterior["speed"][..., [2, 0]] * np.array([14, -0.033])
    share = interval_coverage(scaled, true, levels=[0.9]).share.values
    assert (share < 0.85).all()


def test_the_map_is_found(units):
    x = np.linspace(0.6, 1.4, 9)
    speeds = ramp(units, x)
    np.testing.assert_allclose(speeds[:, 0], turned(x), rtol=0.1)
    np.testing.assert_allclose(speeds[:, 1], grown(x), rtol=0.1)


def test_faster_fields_are_faster_worlds_or_slower_ones_throughout(units):
    speeds = ramp(units, np.linspace(0.1, 3, 12))
    assert (np.diff(speeds[:, 0]) > 0).all()
    assert (np.diff(speeds[:, 1]) < 0).all()


def test_a_map_does_not_fall_though_labels_do():
    true, field = made(LABELLED, 0)
    _, speed = made(LABELLED, 0, doubt=0.0)
    true[..., 0] *= 1.7 - speed[0, 0, ..., 2]
    speeds = ramp(SpeedUnits.learn(posterior(field, true)), np.linspace(0.1, 3, 12))
    assert (np.diff(speeds[:, 0]) > -0.5).all()


def test_what_no_label_tells_is_in_doubt():
    inside, outside = ramp(learned(5), np.array([1.0, 4.0]), np.std)
    assert (outside > 4 * inside).all()


def ramp(units, x, statistic=np.median):
    """Return a statistic of the speeds of both factors, for sequences of one transition."""
    field = np.zeros((1, 6000, len(x), 1, 3))
    field[0, :, :, 0, 2], field[0, :, :, 0, 0] = x, 3 * x
    return statistic(units.convert(posterior(field)).values, (0, 1))[:, 0]


def test_zero_stays_zero_and_nothing_else_becomes_it(units):
    _, field = made(30, 2)
    speeds = units.convert(posterior(field)).values
    np.testing.assert_array_equal(speeds == 0, field[..., [2, 0]] == 0)


def test_fields_are_known_by_their_labels(units):
    _, field = made(30, 2)
    order = [1, 2, 0]
    other = posterior(field[..., order], fields=[FIELDS[k] for k in order])
    assert units.fields == ("c", "a")
    np.testing.assert_array_equal(units.convert(posterior(field)), units.convert(other))


def test_permuted_fields_are_matched_anew():
    true, field = made(20, 0)
    units = SpeedUnits.learn(posterior(field[..., [1, 2, 0]], true))
    assert units.fields == ("b", "c")
    assert min(units.correlation) > 0.8


def test_fewer_labels_make_wider_intervals():
    true, field = made(60, 1, doubt=0.02)
    widths = []
    for count in (5, 40):
        maps = [learned(count, seed, doubt=0.02) for seed in range(2)]
        widths.append(np.mean([mean_width(m.convert(posterior(field)), true) for m in maps], 0))
    assert (widths[0] > 1.1 * widths[1]).all()


def test_what_the_guide_doubts_is_in_doubt(units):
    true, field = made(100, 1)
    vague = field * np.random.default_rng(0).lognormal(0, 0.3, field.shape)
    sure, unsure = (mean_width(units.convert(posterior(x)), true) for x in (field, vague))
    assert (unsure > 1.5 * sure).all()


def test_labels_may_be_given_for_some_sequences_and_factors():
    true, field = made(20, 0)
    some = [3, 5, 8, 13, 2]
    given = SpeedUnits.learn(
        posterior(field, name="pace"),
        {"turning": true[some, :, 0]},
        sequences=some,
        units={"turning": "degree"},
        variable="pace",
    )
    whole = SpeedUnits.learn(posterior(field, true), sequences=some)
    assert given.factors == ("turning",)
    assert given.maps == whole.maps[:1]
    assert given.units == whole.units[:1] == ("degree",)
    assert given.correlation[0] > 0.7


def test_speeds_that_never_rest_have_a_map_too():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    field = x + 0.1 * rng.normal(size=x.shape) + 0.1 * rng.normal(size=(2, 40, *x.shape))
    speeds = posterior(field[..., None], fields=["a"])
    units = SpeedUnits.learn(speeds, {"drift": 3 * x[:30]}, sequences=range(30))
    inside = interval_coverage(units.convert(speeds)[..., 0], 3 * x, levels=[0.9]).share.item()
    assert inside == pytest.approx(0.9, abs=0.06)


def test_rest_is_learned_from_where_speeds_are_never_zero():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1.5, (60, 8)) * (rng.random((60, 8)) < 0.5)
    field = x + 0.02 * rng.normal(size=(2, 40, *x.shape))
    true = x * rng.normal(20, 3, x.shape)
    speeds = posterior(field[..., None], fields=["a"])
    found = SpeedUnits.learn(speeds, {"turning": true}).convert(speeds)[..., 0]
    doubt = found.std(("chain", "draw")).values
    assert doubt[x == 0].mean() < 0.6 * doubt[x != 0].mean()


def test_whole_sequences_may_have_a_speed():
    """Then they are converted as if each were a single transition."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    field = (x + 0.1 * rng.normal(size=60) + 0.1 * rng.normal(size=(2, 40, 60)))[..., None]
    whole, single = (
        to_arviz({"posterior": {"speed": Labelled(axes, values)}})
        for axes, values in (
            (("chain", "draw", "sequence", "field"), field),
            (("chain", "draw", "sequence", "time", "field"), field[..., None, :]),
        )
    )
    units = SpeedUnits.learn(whole, {"drift": 3 * x})
    assert units.maps == SpeedUnits.learn(single, {"drift": 3 * x[:, None]}).maps
    found = units.convert(whole)
    assert found.dims == ("chain", "draw", "sequence", "factor")
    np.testing.assert_array_equal(found, units.convert(single)[..., 0, :])
    with pytest.raises(DataError, match=r"\(60, 1\)"):
        SpeedUnits.learn(whole, {"drift": x[:3]})


def test_speeds_keep_their_labels(units):
    _, field = made(4, 2)
    speeds = units.convert(posterior(field))
    assert speeds.dims == ("chain", "draw", "sequence", "time", "factor")
    assert speeds.shape == (*field.shape[:-1], 2)
    assert speeds["factor"].values.tolist() == list(FACTORS)
    assert speeds["unit"].values.tolist() == ["degree", "log-scale"]


def test_units_come_back_from_json(units):
    again = SpeedUnits.from_dict(json.loads(json.dumps(units.to_dict())))
    _, field = made(4, 2)
    assert again == units
    np.testing.assert_array_equal(again.convert(posterior(field)), units.convert(posterior(field)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("maps", []), ("maps", [1]), ("maps", 3), ("units", ["degree"]), ("fields", [None, 1])],
)
def test_json_of_another_form_is_refused(units, name, value):
    with pytest.raises(ConfigError):
        SpeedUnits.from_dict(units.to_dict() | {name: value})
    broken = units.to_dict()["maps"][0] | {"draws": [[1.0, 2.0]]}
    with pytest.raises(ConfigError, match="12 numbers"):
        SpeedUnits.from_dict(units.to_dict() | {"maps": [broken, broken]})


def test_the_same_seed_gives_the_same_speeds(units):
    _, field = made(4, 2)
    one, same, other = (units.convert(posterior(field), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one.values != other.values).any()


def test_speeds_are_told_in_words(units):
    draws = np.zeros((1, 101, 3, 1, 2))
    draws[0, :, 0, 0, 0] = np.linspace(18.9, 23.2, 101)
    draws[0, :, 1, 0, 0] = np.linspace(20.0, 21.6, 101)
    draws[0, :, 1, 0, 1] = np.linspace(0.081, 0.092, 101)
    draws[0, :, 2, 0, 0] = 5.0
    speeds = units.convert(posterior(np.zeros((1, 101, 3, 1, 3)))).copy(data=draws)
    said = [describe_speeds(speeds, sequence=k, frame=0, probability=0.8) for k in range(3)]
    assert said == [
        "sequence 0, frame 0: turning 19 to 23 degrees per frame, growing still (80%)",
        "sequence 1, frame 0: turning 20.2 to 21.4 degrees per frame, "
        "growing 0.082 to 0.091 log-scale per frame (80%)",
        "sequence 2, frame 0: turning 5.000 to 5.000 degrees per frame, growing still (80%)",
    ]
    with pytest.raises(ConfigError, match="below 3"):
        describe_speeds(speeds, sequence=3, frame=0)


def test_what_cannot_be_learned_from_is_refused():
    true, field = made(20, 0)
    for wrong, message in (
        ({}, "at least one factor"),
        ({"turning": true[:3, :, 0]}, r"shapes \[\(3, 8\)\], but \(20, 8\)"),
        ({"turning": true[..., 0], "growing": true[:, 1:, 1]}, r"\(20, 7\)"),
        ({"turning": true[..., 0], "growing": 0 * true[..., 1]}, "'growing' are all 0"),
        ({"turning": true[..., 0], "growing": np.nan * true[..., 1]}, "of growing: found"),
    ):
        with pytest.raises(DataError, match=message):
            SpeedUnits.learn(posterior(field), wrong)
    with pytest.raises(DataError, match="at least one factor"):
        SpeedUnits.learn(posterior(field))
    with pytest.raises(DataError, match="'growing' has no field: there are more factors"):
        SpeedUnits.learn(posterior(field[..., 2:], true, fields=["c"]))
    with pytest.raises(DataError, match="'turning' has no field"):
        SpeedUnits.learn(posterior(np.zeros_like(field), true))
    with pytest.raises(DataError, match="'pace'"):
        SpeedUnits.learn(posterior(field, true), variable="pace")
    with pytest.raises(DataError, match="time, field"):
        SpeedUnits.learn(to_arviz({"posterior": {"speed": Labelled(DRAWN[:3], field[..., 0, 0])}}))
    for sequences in ([], [20], [-1]):
        with pytest.raises(ConfigError, match="0 to 19"):
            SpeedUnits.learn(posterior(field, true), sequences=sequences)


def test_a_posterior_of_another_run_is_refused(units):
    _, field = made(4, 2)
    with pytest.raises(DataError, match="'c'"):
        units.convert(posterior(field, fields=["x", "y", "z"]))
