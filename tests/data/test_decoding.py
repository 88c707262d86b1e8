import sys
import time

import cv2
import numpy as np
import pytest

from ensemble_jax.data.decoding import decode_rows, image_decoder


@pytest.fixture(params=["cv2", "PIL"])
def decode(request, monkeypatch):
    if request.param == "PIL":
        monkeypatch.setitem(sys.modules, "cv2", None)
    return image_decoder()


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_and_the_order_of_channels(decode, channels):
    image = np.random.default_rng(channels).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    _, encoded = cv2.imencode(".png", image[..., ::-1] if channels == 3 else image)
    decoded = decode(encoded.tobytes())
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("damaged", [b"no image", b"\x89PNG\r\n\x1a\n"])
def test_no_image(decode, damaged):
    with pytest.raises(ValueError, match=f"{len(damaged)} bytes that are no image"):
        decode(damaged)


def test_no_decoder(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ModuleNotFoundError, match=r"ensemble_jax\[tfds\]"):
        image_decoder()


@pytest.mark.parametrize(("count", "rows_per_call"), [(1, 3), (6, 3), (7, 3), (7, 100)])
def test_each_row_is_decoded_once(count, rows_per_call, capsys):
    calls = np.zeros(count, int)

    def decode(rows):
        assert 1 <= len(rows) <= rows_per_call
        calls[rows.start : rows.stop] += 1

    decode_rows(decode, count, description="x", rows_per_call=rows_per_call, max_threads=3)
    assert (calls == 1).all()
    assert f"{count}/{count}" in capsys.readouterr().err


def test_the_first_error_ends_decoding():
    started = []

    def decode(rows):
        started.append(rows.start)
        if rows.start >= 4:
            time.sleep(0.001)  # the others must not be through before anyone has noticed
            raise ValueError(f"row {rows.start}")

    with pytest.raises(ValueError, match="row 4"):
        decode_rows(decode, 10_000, description="x", rows_per_call=1, max_threads=1)
    assert len(started) < 10_000
