import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.indicators.macdv import macdv_of
from app.indicators.stages import RANGING_BARS, STAGES, Stage, stage_codes
from tests.recorded import recorded, records_of

POINTS = st.floats(-1e6, 1e6) | st.sampled_from([-150.0, -50.0, 0.0, 50.0, 150.0])


def stage(macdv: float, signal: float) -> Stage | None:
    """The stage of a single bar."""
    return stages([macdv], [signal])[0]


def stages(macdv: list[float], signal: list[float] | None = None) -> list[Stage | None]:
    """The stages of a series; without `signal` it lies above its signal."""
    codes = stage_codes(np.array(macdv), np.array(signal or [-1000.0] * len(macdv)))
    return [STAGES[code] for code in codes]


@pytest.mark.parametrize(
    ("macdv", "below", "equal", "above"),
    [
        (-150.1, "oversold", "oversold", "oversold"),
        (-150.0, "reversing", "rebounding", "rebounding"),
        (-50.1, "reversing", "rebounding", "rebounding"),
        (-50.0, "retracing", "rebounding", "rebounding"),
        (0.0, "retracing", "rebounding", "rebounding"),
        (50.0, "retracing", "rebounding", "rebounding"),
        (50.1, "retracing", "rallying", "rallying"),
        (150.0, "retracing", "rallying", "rallying"),
        (150.1, "retracing", "overbought", "overbought"),
    ],
)
def test_zones_and_their_boundaries(macdv: float, below: str, equal: str, above: str) -> None:
    assert (stage(macdv, macdv + 1), stage(macdv, macdv), stage(macdv, macdv - 1)) == (below, equal, above)


def test_stages_are_those_of_the_reference_except_for_two_documented_differences() -> None:
    differences = []
    for row in recorded("stages"):
        ours, theirs = stage(row["macdV"], row["signal"]), row["stage"]
        if theirs == "unknown":
            # First difference: a value on a boundary, or equal to its signal, has a stage.
            assert abs(row["macdV"]) in (50, 150) or row["relation"] == "equal", row
            assert ours is not None
        elif theirs == "ranging":
            # Second: a range takes 20 calm bars, and not a value that is equal to its signal.
            assert row["relation"] == "equal"
            assert abs(row["macdV"]) < 50
            assert ours == Stage.REBOUNDING
        elif ours != theirs:
            differences.append((row["macdV"], row["relation"], ours, theirs))
    assert differences == []


@pytest.mark.parametrize("file", ["all_observed", "some_empty", "sparse"])
def test_stages_of_a_series_are_those_of_the_reference_except_for_ranges(file: str) -> None:
    data = recorded(file)
    values = macdv_of(records_of(data["input"]))
    compared = 0
    for point, theirs in zip(map(values.point, range(len(values.macdv))), data["output"]["stage"], strict=True):
        if point.stage == Stage.RANGING:
            assert point.macdv is not None
            assert abs(point.macdv) <= 50
        else:
            assert (point.stage or "unknown") == theirs
            compared += 1
    assert compared > 0.8 * len(values.macdv)


def test_a_range_begins_with_its_20th_calm_bar_and_ends_with_the_first_other() -> None:
    assert RANGING_BARS == 20
    got = stages([60.0] + [50.0, -50.0] * 11 + [50.1, 0.0])
    assert got == ["rallying"] + ["rebounding"] * 19 + ["ranging"] * 3 + ["rallying", "rebounding"]


def test_bars_without_a_signal_count_towards_a_range_and_have_no_stage() -> None:
    signal = [np.nan] * 19 + [0.0, 0.0]
    assert stages([0.0] * 21, signal) == [None] * 19 + ["ranging"] * 2


def test_an_undefined_bar_breaks_a_range() -> None:
    assert stages([0.0] * 19 + [np.nan] + [0.0] * 20)[-2:] == ["rebounding", "ranging"]


@given(st.lists(st.tuples(POINTS, POINTS), max_size=60))
def test_every_bar_with_a_signal_has_exactly_one_stage(pairs: list[tuple[float, float]]) -> None:
    macdv, signal = np.array(pairs).reshape(-1, 2).T
    codes = stage_codes(macdv, signal)
    assert codes.shape == macdv.shape
    assert ((codes > 0) & (codes < len(STAGES))).all()


@given(st.lists(st.tuples(POINTS, POINTS), max_size=60))
def test_a_range_is_20_calm_bars_in_a_row(pairs: list[tuple[float, float]]) -> None:
    macdv, signal = (np.array(pairs).reshape(-1, 2) / 1e4).T  # so that most are calm
    got = [STAGES[code] == Stage.RANGING for code in stage_codes(macdv, signal)]
    assert got == [bar >= 19 and bool((abs(macdv[bar - 19 : bar + 1]) <= 50).all()) for bar in range(len(macdv))]


@pytest.mark.parametrize(("macdv", "signal"), [(np.nan, 0.0), (0.0, np.nan), (np.nan, np.nan), (np.inf, 0.0)])
def test_without_both_values_there_is_no_stage(macdv: float, signal: float) -> None:
    assert stage(macdv, signal) is None


def test_a_batch_gives_each_series_its_own_stages() -> None:
    random = np.random.default_rng(1)
    macdv, signal = random.normal(0, 60, (2, 30, 100))
    macdv[:10] /= 10
    together = stage_codes(macdv, signal)
    for row, codes in enumerate(together):
        assert codes.tolist() == stage_codes(macdv[row], signal[row]).tolist()
    assert {STAGES[code] for code in together.ravel()} == {*Stage}
