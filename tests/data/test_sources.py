import re
import subprocess
import sys

import pytest

from ensemble_jax.data import check_dataset_name, check_word_vectors, load_dataset
from ensemble_jax.data.cifar100 import SUPERCLASSES
from ensemble_jax.data.prepared import PREPARED

OTHERS = ["digits", "cats_and_dogs", "tiny_imagenet", "vggface2", "imagenet2012"]
PATHS = [
    "imagenet2012?size=64",
    "npz:x",
    "npz:~/a b.npz",
    "folder:x",
    "folder:~/a b?size=64&skip_broken=1",
]
PATH_NAMES = ["npz:PATH", "folder:PATH", "tsv:PATH", "csv:PATH"]
DRAWN = ["gabor", "gabor24", "gaussian"]
TEXTS = ["stackoverflow", "tsv:~/questions", "csv:posts.csv"]


@pytest.mark.parametrize("name", [*OTHERS, *PREPARED, *SUPERCLASSES, *DRAWN, *TEXTS, *PATHS])
def test_known_names(name):
    check_dataset_name(name)


@pytest.mark.parametrize("ask", [check_dataset_name, load_dataset])
@pytest.mark.parametrize(
    "name", ["", "imagenet22k", "npz", "npz:", "x.npz", "digits ", "folder", "folder:", "tsv:"]
)
def test_unknown_names(ask, name):
    with pytest.raises(ValueError, match="dataset must be one of digits, mnist, ") as caught:
        ask(name)
    message = str(caught.value)
    assert all(known in message for known in [*OTHERS, *SUPERCLASSES, *PATH_NAMES, repr(name)])
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cifr100", "cifar100"),
        ("Fashion-MNIST", "fashion_mnist"),
        ("small_mammal", "small_mammals"),
        ("digit", "digits"),
        ("Gabor", "gabor"),
        ("stack_overflow", "stackoverflow"),
    ],
)
def test_suggestion(name, meant):
    with pytest.raises(ValueError, match=f"got '{name}', is '{meant}' meant\\?$"):
        check_dataset_name(name)


def test_no_suggestion_without_a_close_name():
    with pytest.raises(ValueError, match=r"got 'zzz'$"):
        check_dataset_name("zzz")


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("64", "options must be among size, written as in .*; got '64'"),
        ("size=0", "size must be a number of pixels, got '0'"),
        ("size=big", "size must be a number of pixels, got 'big'"),
        ("side=64", "options must be among size, .*; got 'side', is 'size' meant\\?"),
        ("size=64&x=1", "options must be among size, .*; got 'x'"),
    ],
)
def test_imagenet_has_only_a_size(option, problem):
    with pytest.raises(ValueError, match=rf"^imagenet2012.*: {problem}") as caught:
        check_dataset_name(f"imagenet2012?{option}")
    assert "\n" not in str(caught.value)


def load_with_word_vectors(name, word_vectors):
    return load_dataset(name, word_vectors=word_vectors)


@pytest.mark.parametrize("ask", [check_word_vectors, load_with_word_vectors])
@pytest.mark.parametrize("nothing", [None, ""])
def test_texts_need_word_vectors(ask, nothing):
    for name in TEXTS:
        with pytest.raises(ValueError, match=r"word_vectors must .*glove.*; got none$") as caught:
            ask(name, nothing)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ask", [check_word_vectors, load_with_word_vectors])
@pytest.mark.parametrize("name", ["digits", "fish", "gaussian", "npz:x.npz"])
def test_nothing_else_takes_word_vectors(ask, name):
    with pytest.raises(ValueError, match=f"word_vectors must be empty .* {name}, got 'a.txt'$"):
        ask(name, "a.txt")


def test_word_vectors_are_checked_without_reading():
    for name in TEXTS:
        check_word_vectors(name, "nowhere.txt")
    check_word_vectors("digits", None)
    check_word_vectors("digits", "")


def run_python(code):
    """Runs code in a fresh interpreter, where nothing has been imported yet."""
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr


def test_names_are_checked_without_heavy_imports():
    run_python(
        "import sys\n"
        "from ensemble_jax.data.sources import check_dataset_name\n"
        "check_dataset_name('cifar100')\n"
        "check_dataset_name('folder:x?size=3')\n"
        "heavy = {'tensorflow_datasets', 'tensorflow', 'sklearn', 'cv2', 'PIL', 'array_record',\n"
        "    'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )


def test_digits_need_no_tensorflow_datasets():
    run_python(
        "import sys\n"
        "for name in ('tensorflow_datasets', 'tensorflow', 'array_record', 'cv2'):\n"
        "    sys.modules[name] = None\n"
        "import ensemble_jax.data\n"
        "assert len(ensemble_jax.data.load_dataset('digits').train) == 1438\n"
    )


def test_prepared_sets_need_no_tensorflow(real_folders):
    folders = f"data_dir={str(real_folders.data)!r}, cache_dir=os.devnull"
    run_python(
        "import os, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "import ensemble_jax.data\n"
        f"dataset = ensemble_jax.data.load_dataset('fashion_mnist', {folders})\n"
        "assert len(dataset.train) == 60_000\n"
        "assert 'tensorflow_datasets' in sys.modules\n"
        "assert 'tensorflow' not in sys.modules\n"
    )


def test_a_path_without_a_prefix_is_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("own.npz", "posts.CSV", "own.dat"):
        (tmp_path / name).write_text("")
    for name, prefix in {
        "photos": "folder:",
        "own.npz": "npz:",
        "posts.CSV?text=1": "csv:",
    }.items():
        with pytest.raises(
            ValueError, match=re.escape(f"got {name!r}, is {prefix + name!r} meant?")
        ):
            check_dataset_name(name)
    for name in ("own.dat", "other.npz", ""):
        with pytest.raises(ValueError, match=rf"got {name!r}$"):
            check_dataset_name(name)
