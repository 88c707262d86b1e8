import os
import re
import shutil
import sys
import warnings
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble_jax.data import image_files, load_images
from ensemble_jax.data.image_files import ImageSpec, decode_images, list_images


@pytest.fixture
def decode(tmp_path, folders):
    """Decodes all images that lie directly in a folder of the test's own."""

    def decode_all(folder="in", **form):
        root = tmp_path / folder
        files = {"all": list_images(root, root)}
        decoded = decode_images("set", root, files, ImageSpec(**form), folders.cache)["all"]
        return Decoded(decoded.images, decoded.rows)

    return decode_all


class Decoded(NamedTuple):
    images: np.ndarray
    rows: np.ndarray


def random_pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth_pixels(height, width):
    """A picture that survives compression, without symmetry."""
    rows, columns = np.mgrid[:height, :width]
    channels = (
        60 + 150 * rows / height,
        200 - 120 * columns / width,
        40 + 90 * (rows / height + columns / width),
    )
    return np.stack(channels, axis=-1).astype(np.uint8)


# Sizes, order, cropping and resizing.


def test_images_of_one_size_keep_every_pixel_in_the_order_of_their_names(write_image, decode):
    pixels = {f"{number:03}.png": random_pixels(number, 5, 7, 3) for number in range(150)}
    for name in reversed(pixels):
        write_image(f"in/{name}", pixels[name])
    images, rows = decode()
    assert images.dtype == np.uint8
    assert not images.flags.writeable
    np.testing.assert_array_equal(images, np.stack(list(pixels.values())))
    np.testing.assert_array_equal(rows, np.arange(150))


@pytest.mark.parametrize(
    "suffix", ["bmp", "gif", "pgm", "png", "PNG", "ppm", "tif", "TIFF", "webp"]
)
def test_formats_without_loss(suffix, write_image, decode, tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    pixels = grey if suffix in ("pgm", "gif") else grey[..., None] * np.array([1, 2, 3], np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    (tmp_path / "in").mkdir()
    PIL.Image.fromarray(pixels).save(tmp_path / f"in/a.{suffix}", **options)
    images, _ = decode(channels=1 if pixels.ndim == 2 else 3)
    np.testing.assert_array_equal(images[0].squeeze(), pixels)


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ((4, 9), np.s_[:, 2:6]),  # five columns too many: two go left, three right
        ((9, 4), np.s_[2:6]),
        ((4, 4), np.s_[:]),
    ],
)
def test_the_largest_centred_square_is_cut_out(shape, part, write_image, decode):
    pixels = random_pixels(0, *shape, 3)
    write_image("in/a.png", pixels)
    np.testing.assert_array_equal(decode(size=(4, 4)).images[0], pixels[part])


def test_other_shapes_are_cut_out_likewise(write_image, decode):
    pixels = random_pixels(0, 8, 8, 3)
    write_image("in/a.png", pixels)
    np.testing.assert_array_equal(decode(size=(4, 8)).images[0], pixels[2:6])
    np.testing.assert_array_equal(decode(size=(8, 2)).images[0], pixels[:, 3:5])


@given(st.tuples(*[st.integers(1, 300)] * 4))
def test_the_box_is_inside_centred_as_large_as_can_be_and_of_the_right_shape(sizes):
    width, height, wide, high = sizes
    left, top, right, bottom = image_files._centred_box((width, height), (wide, high))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == width or bottom - top == height
    assert 0 <= (width - right) - left <= 1
    assert 0 <= (height - bottom) - top <= 1
    # One side is rounded to whole pixels, of which it has at least one.
    error = abs((right - left) * high - (bottom - top) * wide)
    assert error <= max(wide, high) / 2 or 1 in (right - left, bottom - top)


def triangle_weights(length, target):
    """[target, length]: how much each pixel of a line counts for each pixel that it becomes."""
    scale = length / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / support
    weights = np.maximum(0, 1 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [3, 5, 8, 11, 24])
def test_resizing_is_a_triangular_filter(size, write_image, decode):
    pixels = random_pixels(size, 11, 15, 3)
    write_image("in/a.png", pixels)
    square = pixels[:, 2:13].astype(np.float64)
    weights = triangle_weights(11, size)
    expected = np.einsum("yh,xw,hwc->yxc", weights, weights, square)
    # Pillow rounds after each direction.
    np.testing.assert_allclose(decode(size=(size, size)).images[0], expected, atol=1.01)


@pytest.mark.parametrize("size", [16, 50, 100, 101, 256])
def test_large_photographs_are_decoded_small_with_the_same_result(size, write_image, decode):
    pixels = smooth_pixels(420, 613)
    write_image("in/a.jpg", pixels)
    write_image("exact/a.png", np.asarray(PIL.Image.open(write_image("copy/a.jpg", pixels))))
    small, exact = (decode(folder, size=(size, size)).images[0] for folder in ("in", "exact"))
    np.testing.assert_allclose(small.astype(int), exact.astype(int), atol=4)
    assert np.abs(small.astype(int) - exact).mean() < 1


def test_sizes_that_differ_need_one_to_become(write_image, decode):
    write_image("in/a.png", size=(8, 8))
    write_image("in/b.png", size=(8, 9))
    write_image("in/c.png", size=(8, 8))
    write_image("in/d.png", size=(7, 9))
    message = (
        "set: images have 3 different sizes (height x width: 8x8 in a.png, 8x9 in b.png); "
        "size=PIXELS crops and resizes them to one, such as size=64"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode()
    assert decode(size=(6, 6)).images.shape == (4, 6, 6, 3)


# Channels.


def test_grey_images_have_one_channel_unless_one_has_colour(write_image, decode):
    grey, colour = random_pixels(0, 4, 4), random_pixels(1, 4, 4, 3)
    write_image("in/a.png", grey)
    np.testing.assert_array_equal(decode().images, grey[None, ..., None])
    write_image("in/b.png", colour)
    np.testing.assert_array_equal(decode().images, [np.stack([grey] * 3, axis=-1), colour])


def test_colour_becomes_grey_by_its_luma(write_image, decode):
    pixels = random_pixels(0, 6, 6, 3)
    write_image("in/a.png", pixels)
    images, _ = decode(channels=1)
    assert images.shape == (1, 6, 6, 1)
    np.testing.assert_allclose(images[0, ..., 0], pixels @ [0.299, 0.587, 0.114], atol=1)


def test_transparency_is_laid_on_white(write_image, decode):
    black, red = [0, 0, 0], [200, 10, 10]
    pixels = np.array([[[*black, 255], [*black, 0], [*red, 51], [*black, 128]]], np.uint8)
    write_image("in/a.png", pixels)
    expected = [[0, 0, 0], [255, 255, 255], [244, 206, 206], [127, 127, 127]]
    np.testing.assert_allclose(decode().images[0, 0], expected, atol=1)


def test_grey_with_transparency_is_grey_on_white(tmp_path, decode):
    (tmp_path / "in").mkdir()
    pixels = np.array([[[10, 255], [10, 0]]], np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "in/a.png")
    assert decode().images.tolist() == [[[[10], [255]]]]


@pytest.mark.parametrize("transparent", [False, True])
def test_palettes_become_colours(transparent, tmp_path, decode):
    (tmp_path / "in").mkdir()
    image = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([9, 8, 7, 0, 255, 0, 1, 2, 3])
    image.save(tmp_path / "in/a.png", **({"transparency": 1} if transparent else {}))
    second = [255, 255, 255] if transparent else [0, 255, 0]
    assert decode().images[0].tolist() == [[[9, 8, 7], second, [1, 2, 3]]]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([[0, 255, 256, 0x1234, 0xFFFF]], [0, 0, 1, 0x12, 0xFF]),
        ([[0, 255, 256, 0x0FED]], [0, 15, 16, 0xFE]),  # 12 bits in use
        ([[0, 7, 255]], [0, 7, 255]),
        ([[0, 300]], [0, 150]),
        ([[0, 0]], [0, 0]),
    ],
)
def test_16_bits_become_8_by_the_range_in_use(suffix, pixels, expected, tmp_path, decode):
    (tmp_path / "in").mkdir()
    assert cv2.imwrite(str(tmp_path / f"in/a.{suffix}"), np.array(pixels, np.uint16))
    assert decode().images.reshape(-1).tolist() == expected
    assert decode(size=(1, len(expected))).images.reshape(-1).tolist() == expected


def test_all_files_of_16_bits_have_one_scale(write_image, tmp_path, folders):
    write_image("in/a.png", np.array([[1, 2]], np.uint16))
    write_image("in/b.png", np.array([[3, 4]], np.uint8))
    write_image("in/c.png", np.array([[1023, 512]], np.uint16))
    (tmp_path / "in/d.png").write_bytes(b"broken")
    root, form = tmp_path / "in", ImageSpec(skip_broken=True)
    files = {"one": ["a.png", "b.png", "d.png"], "two": ["c.png"]}
    for _ in range(2):  # made, and from the cache
        with pytest.warns(UserWarning, match="skipped 1 broken of 4 images"):
            decoded = decode_images("set", root, files, form, folders.cache)
        assert decoded["one"].images.reshape(-1).tolist() == [0, 0, 3, 4]
        assert decoded["two"].images.reshape(-1).tolist() == [255, 128]
        assert [(one.num_wide, one.bits) for one in decoded.values()] == [(1, 10), (1, 10)]


def test_a_pgm_file_says_its_range(tmp_path, decode):
    (tmp_path / "in").mkdir()
    values = np.array([[0, 1000, 500]], ">u2")
    (tmp_path / "in/a.pgm").write_bytes(b"P5 3 1 1000\n" + values.tobytes())
    assert decode().images.reshape(-1).tolist() == [0, 255, 128]


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_colours_of_16_bits_that_are_nearly_black_are_refused(suffix, tmp_path, decode):
    (tmp_path / "in").mkdir()
    pixels = np.array([[[0, 255, 4095], [1, 2, 3]]], np.uint16)
    assert cv2.imwrite(str(tmp_path / f"in/a.{suffix}"), pixels)
    with pytest.raises(
        ValueError, match=r"set: 1 images have 16 bits per colour, .* at most 1[56] of "
    ):
        decode()
    assert cv2.imwrite(str(tmp_path / f"in/b.{suffix}"), pixels + 61440)
    assert decode().images[1].max() == 255


def test_one_bit_becomes_black_and_white(tmp_path, decode):
    (tmp_path / "in").mkdir()
    PIL.Image.fromarray(np.array([[True, False]])).save(tmp_path / "in/a.png")
    assert decode().images.squeeze().tolist() == [255, 0]


def test_print_colours_become_red_green_blue(tmp_path, decode):
    (tmp_path / "in").mkdir()
    PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "in/a.jpg", quality=100)
    assert np.abs(decode().images.astype(int) - [255, 0, 0]).max() <= 2


def test_values_without_a_known_range_are_refused(tmp_path, decode):
    (tmp_path / "in").mkdir()
    PIL.Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "in/a.tif")
    with pytest.raises(ValueError, match=r"a\.tif cannot be read as an image \(32 bits per value"):
        decode()


def test_of_moving_images_the_first_counts(tmp_path, decode):
    (tmp_path / "in").mkdir()
    first, second = (PIL.Image.new("L", (4, 4), grey) for grey in (50, 90))
    first.save(tmp_path / "in/a.gif", save_all=True, append_images=[second])
    assert np.unique(decode(channels=1).images).tolist() == [50]


TURNED = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_photographs_are_turned_upright(orientation, suffix, tmp_path, decode):
    pixels = smooth_pixels(16, 32)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "in").mkdir()
    PIL.Image.fromarray(pixels).save(tmp_path / f"in/a.{suffix}", exif=exif, quality=98)
    upright = TURNED[orientation](pixels).astype(int)
    for size in (None, upright.shape[:2]):
        np.testing.assert_allclose(decode(size=size).images[0], upright, atol=12)


# Broken files.


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def replace_by_text(file):
    file.write_bytes(b"this is no image")


def replace_by_program(file):
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize("damage", [truncate, empty, replace_by_text, replace_by_program])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("form", [{}, {"size": (8, 8), "channels": 3}])
def test_a_broken_image_is_named(form, suffix, damage, write_image, decode, folders):
    for name in ("a", "b", "c"):
        write_image(f"in/{name}.{suffix}", size=(16, 16))
    file = write_image(f"in/bad.{suffix}", size=(16, 16))
    damage(file)
    with pytest.raises(ValueError, match=r"^set: .* cannot be read as an image \(") as caught:
        decode(**form)
    message = str(caught.value)
    assert str(file) in message
    assert message.endswith("; mend or remove it")
    assert "\n" not in message
    assert not folders.cache.exists()


@pytest.mark.parametrize("form", [{}, {"size": (6, 6), "channels": 3}])
def test_broken_images_are_skipped_where_asked_for_and_told_each_time(form, write_image, decode):
    for name in "abcdef":
        write_image(f"in/{name}.png")
    whole = decode(**form).images
    truncate(write_image("in/b.png"))
    empty(write_image("in/e.png"))
    message = r"^set: skipped 2 broken of 6 images: b\.png, e\.png$"
    for _ in range(2):
        with pytest.warns(UserWarning, match=message):
            images, rows = decode(**form, skip_broken=True)
        assert rows.tolist() == [0, 2, 3, 5]
        np.testing.assert_array_equal(images, whole[rows])


def test_of_many_skipped_images_some_are_named(write_image, decode):
    write_image("in/z.png")
    for number in range(30):
        empty(write_image(f"in/{number:02}.png"))
    with pytest.warns(UserWarning, match=r"skipped 30 broken .* 18\.png, 19\.png and 10 more$"):
        assert decode(skip_broken=True).rows.tolist() == [30]


@pytest.mark.parametrize("form", [{}, {"size": (6, 6), "channels": 3}])
def test_skipping_must_leave_something(form, write_image, decode):
    for name in "ab":
        empty(write_image(f"in/{name}.png"))
    with pytest.raises(ValueError, match=r"^set: all 2 images are broken, such as a\.png$"):
        decode(**form, skip_broken=True)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError()])
def test_what_the_system_refuses_is_not_skipped(error, write_image, decode, monkeypatch):
    write_image("in/a.png")

    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(PIL.Image, "open", refuse)
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image \(.+\)$"):
        decode(skip_broken=True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_are_decoded_or_named(data, tmp_path):
    suffix = data.draw(st.sampled_from(["bmp", "gif", "jpg", "png", "ppm", "tif", "webp"]))
    file = tmp_path / f"a.{suffix}"
    PIL.Image.fromarray(random_pixels(0, 12, 12, 3)).save(file)
    content = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            arrays = image_files._decode(
                "set", tmp_path, {"all": [file.name]}, ImageSpec((8, 8), channels=3)
            )
        except ValueError as error:
            assert f"a.{suffix}" in str(error)  # noqa: PT017
        else:
            assert arrays["all_images"].shape == (1, 8, 8, 3)


# The cache.


def must_not_be_called(*args):
    raise AssertionError("the cache was not used")


def test_images_are_decoded_once(write_image, decode, monkeypatch, capsys):
    for name in "abc":
        write_image(f"in/{name}.png")
    first = decode()
    bars = capsys.readouterr().err
    assert "looking at in" in bars
    assert "decoding in all" in bars
    monkeypatch.setattr(image_files, "_decode", must_not_be_called)
    second = decode()
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(second.images, first.images)
    np.testing.assert_array_equal(second.rows, first.rows)


@pytest.mark.parametrize("form", [{"size": (4, 4)}, {"channels": 1}, {"skip_broken": True}])
def test_another_form_is_decoded_anew(form, write_image, decode, monkeypatch):
    write_image("in/a.png")
    decode()
    monkeypatch.setattr(image_files, "_decode", must_not_be_called)
    with pytest.raises(AssertionError, match="the cache was not used"):
        decode(**form)


def change(folder):
    PIL.Image.new("RGB", (8, 8)).save(folder / "a.png")


def add(folder):
    shutil.copy2(folder / "a.png", folder / "c.png")


def remove(folder):
    (folder / "b.png").unlink()


def rename(folder):
    (folder / "a.png").rename(folder / "0.png")


@pytest.mark.parametrize("happen", [change, add, remove, rename])
def test_other_files_are_decoded_anew(happen, write_image, decode, tmp_path):
    for name in "ab":
        write_image(f"in/{name}.png")
    decode()
    happen(tmp_path / "in")
    expected = [np.asarray(PIL.Image.open(file)) for file in sorted((tmp_path / "in").iterdir())]
    np.testing.assert_array_equal(decode().images, expected)


def exchange(folder):
    (folder / "a.bmp").rename(folder / "c")
    (folder / "b.bmp").rename(folder / "a.bmp")
    (folder / "c").rename(folder / "b.bmp")


def overwrite(folder):
    a, b = ((folder / name).read_bytes() for name in ("a.bmp", "b.bmp"))
    (folder / "a.bmp").write_bytes(b)
    (folder / "b.bmp").write_bytes(a)


@pytest.mark.parametrize("happen", [exchange, overwrite])
def test_equal_sizes_and_times_do_not_make_other_files_the_same(
    happen, write_image, decode, tmp_path
):
    def set_times():
        for name in "ab":
            os.utime(tmp_path / "in" / f"{name}.bmp", ns=(0, 0))

    for number, name in enumerate("ab"):
        write_image(f"in/{name}.bmp", random_pixels(number, 8, 8, 3))
    set_times()
    before = decode().images
    happen(tmp_path / "in")
    set_times()
    np.testing.assert_array_equal(decode().images, before[::-1])


def test_an_equal_folder_elsewhere_is_another_one(write_image, decode, tmp_path):
    file = write_image("in/a.png")
    decode()
    shutil.copytree(tmp_path / "in", tmp_path / "other" / "in")
    content = bytearray(file.read_bytes())
    other = tmp_path / "other/in/a.png"
    PIL.Image.new("RGB", (8, 8)).save(other)
    other.write_bytes(other.read_bytes().ljust(len(content), b"\0"))
    times = file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not decode("other/in").images.any()


# Forms.


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"channels": 2}, "channels must be 1 or 3, got 2"),
        ({"size": (0, 4)}, "size must be at least 1 in height and width, got (0, 4)"),
    ],
)
def test_impossible_forms(form, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        ImageSpec(**form)


# Folders of any images.


def test_all_images_below_a_folder(write_image, folders, tmp_path):
    for path in ("b.png", "a/z.JPG", "a/a/deep.bmp", "c/1.png"):
        write_image(f"any/{path}", size=(9, 12))
    write_image("any/.hidden.png")
    write_image("any/.hidden/a.png")
    (tmp_path / "any/readme.txt").write_text("no image")
    (tmp_path / "any/folder.png").mkdir()
    images, ids = load_images(tmp_path / "any", (5, 6), 3, folders)
    assert images.shape == (4, 5, 6, 3)
    assert images.dtype == np.uint8
    assert ids.tolist() == ["a/a/deep.bmp", "a/z.JPG", "b.png", "c/1.png"]


def test_links_to_folders_are_passed_over(write_image, folders, tmp_path):
    write_image("any/a.png")
    write_image("elsewhere/b.png")
    (tmp_path / "any/link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    _, ids = load_images(tmp_path / "any", (4, 4), 3, folders)
    assert ids.tolist() == ["a.png"]


def test_any_images_take_the_channels_of_another_set(write_image, folders, tmp_path):
    grey, colour = random_pixels(0, 4, 4), random_pixels(1, 4, 4, 3)
    write_image("any/a.png", grey)
    write_image("any/b.png", colour)
    in_colour, _ = load_images(tmp_path / "any", (4, 4), 3, folders)
    np.testing.assert_array_equal(in_colour, [np.stack([grey] * 3, axis=-1), colour])
    in_grey, _ = load_images(tmp_path / "any", (4, 4), 1, folders)
    np.testing.assert_array_equal(in_grey[0, ..., 0], grey)
    np.testing.assert_allclose(in_grey[1, ..., 0], colour @ [0.299, 0.587, 0.114], atol=1)


def test_broken_ones_among_any_images(write_image, folders, tmp_path):
    write_image("any/a.png")
    empty(write_image("any/b/bad.png"))
    with pytest.raises(ValueError, match=r"bad\.png cannot be read .* skip such by skip_broken$"):
        load_images(tmp_path / "any", (4, 4), 3, folders)
    with pytest.warns(UserWarning, match=r"skipped 1 broken of 2 images: b/bad\.png$"):
        images, ids = load_images(tmp_path / "any", (4, 4), 3, folders, skip_broken=True)
    assert (len(images), ids.tolist()) == (1, ["a.png"])


def test_no_folder_of_images(folders, tmp_path):
    with pytest.raises(ValueError, match=r"absent is not a folder$"):
        load_images(tmp_path / "absent", (4, 4), 3, folders)
    with pytest.raises(ValueError, match=r"holds no images; they end in \.bmp \.dib"):
        load_images(folders.data, (4, 4), 3, folders)


def test_opencv_is_not_needed(write_image, decode, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    write_image("in/a.png")
    assert len(decode().images) == 1
