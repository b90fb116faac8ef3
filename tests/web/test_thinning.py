import numpy as np
import pytest

from proximax.web.thinning import grid_step, rounded, smooth, thin_out


def test_no_spike_is_lost_and_columns_have_the_mean():
    x = np.arange(1000.0)
    y = np.zeros(1000)
    y[517] = 9.0
    thin = thin_out(x, y, y, y, 64.0)
    assert thin.high.max() == 9.0
    assert thin.place.tolist() == list(range(16))
    assert thin.mean[517 // 64] == pytest.approx(9 / 64)
    assert thin.low.max() == 0.0


def test_few_points_stay_as_they_are_and_empty_columns_are_left_out():
    x = np.array([0.0, 10.0, 35.0])
    thin = thin_out(x, x, x, x, 10.0)
    assert thin.place.tolist() == [0, 1, 3]
    assert thin.mean.tolist() == [0.0, 10.0, 35.0]


def test_nan_is_no_value_and_disorder_is_sorted():
    x, y = np.array([30.0, 10.0, 20.0, 11.0]), np.array([3.0, 1.0, np.nan, 2.0])
    thin = thin_out(x, y, y, y, 10.0)
    assert thin.place.tolist() == [1, 3]
    assert thin.mean.tolist() == [1.5, 3.0]
    assert len(thin_out(x, y, y * np.nan, y, 10.0).place) == 0


@pytest.mark.parametrize("extent", [1e-3, 1.0, 77.0, 1e6, 1e12])
def test_a_grid_has_at_most_as_many_columns_as_asked_and_at_least_half_of_them(extent):
    columns = extent / grid_step(extent, 300)
    assert 150 <= columns <= 300


def test_columns_stay_as_they_are_until_a_run_is_twice_as_long():
    assert grid_step(700.0, 300) == grid_step(1100.0, 300)
    assert grid_step(0.0, 300) == 1.0


def test_smoothing_is_the_mean_of_the_latest_values_that_are_known():
    x = np.array([[1.0, np.nan, 3.0, 5.0]])
    np.testing.assert_allclose(smooth(x, 2), [[1.0, 1.0, 3.0, 4.0]])
    np.testing.assert_array_equal(smooth(x, 1), x)
    np.testing.assert_allclose(smooth(x, 100), [[1.0, 1.0, 2.0, 3.0]])
    assert np.isnan(smooth(np.array([[np.nan, 1.0]]), 3)[0, 0])


def test_numbers_are_sent_with_five_digits():
    x = np.array([0.1 + 0.2, 123456.0, -1.23456789e-7, 0.0, np.nan, np.inf, 1e30])
    assert rounded(x) == [0.3, 123460.0, -1.2346e-07, 0.0, None, None, 1e30]
    assert rounded(np.array([0.012345678, 98765.4321])) == [0.012346, 98765.0]
