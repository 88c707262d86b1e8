"""Laws of random changes of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.ops import make_augmentation
from ensemble_jax.options import AugmentationKind, parse_augmentations

SHAPE = (5, 6, 2)
IMAGES = np.random.default_rng(0).integers(1, 256, (40, *SHAPE), dtype=np.uint8)


def augment(texts, seed=0, images=IMAGES):
    function = make_augmentation(parse_augmentations(texts), images.shape[1:])
    return np.asarray(jax.jit(function)(jax.random.key(seed), images))


@pytest.mark.parametrize("kind", list(AugmentationKind))
def test_every_kind_keeps_shape_and_type_and_follows_its_key(kind):
    text = f"{kind.value}:2" if kind is AugmentationKind.CROP else kind.value
    changed = augment([text])
    assert (changed.shape, changed.dtype) == (IMAGES.shape, IMAGES.dtype)
    np.testing.assert_array_equal(augment([text]), changed)
    assert (augment([text], seed=1) != changed).any()
    # Images are changed in different ways: the same image comes in many forms.
    copies = augment([text], images=np.repeat(IMAGES[:1], 40, axis=0))
    assert 2 <= len(np.unique(copies.reshape(40, -1), axis=0)) <= 40


def test_a_flip_is_one_or_the_other_and_two_are_none():
    changed = augment(["flip"])
    flipped = (changed == IMAGES[:, :, ::-1]).all((1, 2, 3))
    kept = (changed == IMAGES).all((1, 2, 3))
    assert (flipped ^ kept).all()
    assert 8 <= flipped.sum() <= 32  # of 40, with a std of 3
    np.testing.assert_array_equal(augment(["flip"], images=changed), IMAGES)


def test_crops_are_windows_of_the_image_with_a_border():
    border = 2
    padded = np.pad(IMAGES, ((0, 0), (border, border), (border, border), (0, 0)))
    corners = [(top, left) for top in range(2 * border + 1) for left in range(2 * border + 1)]
    found = []
    for image, whole in zip(augment([f"crop:{border}"]), padded, strict=True):
        windows = [whole[top : top + 5, left : left + 6] for top, left in corners]
        (place,) = [i for i, window in enumerate(windows) if (window == image).all()]
        found.append(corners[place])
    tops, lefts = zip(*found, strict=True)
    assert set(tops) == set(lefts) == set(range(5))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_border_has_the_value_that_is_given_for_each_channel(dtype):
    function = make_augmentation(parse_augmentations(["crop:2"]), SHAPE, np.array([7.6, 200.2]))
    cropped = np.asarray(function(jax.random.key(0), IMAGES.astype(dtype) * 0))
    values = np.array([8, 200] if dtype == np.uint8 else [7.6, 200.2], dtype)
    for channel, value in enumerate(values):
        assert np.unique(cropped[..., channel]).tolist() == [0, value]


def test_all_corners_of_a_crop_are_as_frequent():
    images = np.zeros((9000, 3, 3, 1), np.uint8)
    images[:, 1, 1] = 1
    changed = augment(["crop:1"], images=images)
    _, counts = np.unique(changed.reshape(9000, -1), axis=0, return_counts=True)
    assert len(counts) == 9
    assert np.abs(counts - 1000).max() < 150  # five stds


def test_a_resized_crop_is_a_rectangle_of_the_image():
    """Of a plane, which any linear filter leaves one: slopes tell the sides, values the place."""
    size = 32
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    planes = np.stack([rows, columns], -1).astype(np.float32)
    images = np.broadcast_to(planes, (200, size, size, 2))
    changed = augment(["resized_crop"], images=images)
    middle = changed[:, 12:20, 12:20]  # away from the edges, where the filter is cut off
    heights = size * np.diff(middle[..., 0], axis=1).mean((1, 2))
    widths = size * np.diff(middle[..., 1], axis=2).mean((1, 2))
    np.testing.assert_allclose(np.diff(middle[..., 0], axis=2), 0, atol=1e-3)
    areas, ratios = heights * widths / size**2, widths / heights
    assert areas.min() > 0.08 * 0.98
    assert areas.max() <= 1.02
    assert areas.min() < 0.15
    assert areas.max() > 0.85
    assert 3 / 4 * 0.98 < ratios.min() < 0.85
    assert 1.2 < ratios.max() < 4 / 3 * 1.02
    assert changed.min() >= -1e-3
    assert changed.max() <= size - 1 + 1e-3


def test_an_image_of_one_colour_stays_whatever_rectangle_is_taken():
    images = np.full((20, 9, 7, 3), 200, np.uint8)
    np.testing.assert_array_equal(augment(["resized_crop"], images=images), images)


def test_changes_come_one_after_another_and_differ_in_their_draws():
    one = make_augmentation(parse_augmentations(["crop:1"]), SHAPE)
    both = make_augmentation(parse_augmentations(["crop:1", "flip"]), SHAPE)
    key = jax.random.key(3)
    cropped, changed = one(key, jnp.asarray(IMAGES)), both(key, jnp.asarray(IMAGES))
    same = (changed == cropped).all((1, 2, 3))
    flipped = (changed == cropped[:, :, ::-1]).all((1, 2, 3))
    assert (same | flipped).all()
    assert same.any()
    assert flipped.any()


def test_without_changes_images_stay():
    np.testing.assert_array_equal(augment([]), IMAGES)
    np.testing.assert_array_equal(
        make_augmentation((), (7,))(jax.random.key(0), jnp.ones((2, 7))), np.ones((2, 7))
    )


def test_only_images_can_be_changed():
    with pytest.raises(ValueError, match=r"augmentation needs images .* of shape \(7,\)"):
        make_augmentation(parse_augmentations(["flip"]), (7,))


@pytest.mark.parametrize(
    "text", ["", "crop", "crop:", "crop:0", "crop:x", "crop:5000", "flip:1", "Flip", "rotate"]
)
def test_unknown_changes(text):
    with pytest.raises(ValueError, match="augmentation must be of crop:PIXELS"):
        parse_augmentations([text])
