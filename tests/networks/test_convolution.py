"""A convolution by hand: which pixels a kernel meets, and where zeros are added."""

import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import UsageError
from proximax.networks.convolution import convolve, output_size, pair

IMAGE = jnp.arange(16.0).reshape(1, 4, 4, 1)
ONES = jnp.ones((2, 2, 1, 1))
NO_BIAS = jnp.zeros(1)


def test_a_kernel_of_ones_adds_the_pixels_that_it_meets():
    np.testing.assert_array_equal(
        convolve(IMAGE, ONES, NO_BIAS)[0, :, :, 0], [[10, 14, 18], [26, 30, 34], [42, 46, 50]]
    )
    np.testing.assert_array_equal(convolve(IMAGE, ONES, NO_BIAS + 0.5, 2)[0, :, :, 0], [[10.5, 18.5], [42.5, 50.5]])


def test_same_adds_zeros_at_the_lower_right_first():
    found = convolve(IMAGE, ONES, NO_BIAS, 1, "SAME")[0, :, :, 0]
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found[:3, :3], convolve(IMAGE, ONES, NO_BIAS)[0, :, :, 0])
    np.testing.assert_array_equal(found[3], [25, 27, 29, 15])


def test_it_is_a_correlation_the_kernel_is_not_turned():
    kernel = jnp.array([[0.0, 1.0], [0.0, 0.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(convolve(IMAGE, kernel, NO_BIAS)[0, :, :, 0], [[1, 2, 3], [5, 6, 7], [9, 10, 11]])


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding", "expected"),
    [
        ((84, 84), (8, 8), 4, "VALID", (20, 20)),
        ((20, 20), (4, 4), 2, "VALID", (9, 9)),
        ((5, 7), (3, 3), 2, "SAME", (3, 4)),
    ],
)
def test_the_size_of_the_output(image, kernel, stride, padding, expected):
    assert output_size(image, kernel, pair(stride), padding) == expected


def test_a_kernel_larger_than_the_image_is_refused():
    with pytest.raises(UsageError, match=r"a kernel of \(5, 5\) pixels does not fit in images of \(4, 4\)"):
        convolve(IMAGE, jnp.ones((5, 5, 1, 1)), NO_BIAS)
