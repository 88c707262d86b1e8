"""The data sets of a user's own objects; `datasets` and torch themselves where they are there."""

import re

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from ensemble_jax.data import Dataset, load_dataset

X = np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3)
X_TEST = X[:3] + 1
Y, Y_TEST = [0, 1, 2, 0, 1, 2], [2, 1, 0]
WORDS = ["cat", "owl", "cat", "dog", "dog", "owl"]
VECTORS = "red 1 0\nblue 0 1\nsky 1 1\nblood 1 -1\n"


def from_arrays(**changes):
    return Dataset.from_arrays(**{"train": (X, Y), "test": (X_TEST, Y_TEST)} | changes)


def test_arrays_as_they_are():
    dataset = from_arrays()
    assert (dataset.name, dataset.class_names) == ("arrays", ("0", "1", "2"))
    assert dataset.train.inputs is X
    assert dataset.test.labels.tolist() == Y_TEST
    assert dataset.train.labels.dtype == np.int32
    assert dataset.train.ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.test.ids.dtype == np.int64


def convert_to_torch(array):
    return pytest.importorskip("torch").from_numpy(array.copy())


@pytest.mark.parametrize("convert", [jnp.asarray, np.ndarray.tolist, convert_to_torch])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_anything_that_numpy_takes(convert, dtype):
    dataset = from_arrays(
        train=(convert(X.astype(dtype)), convert(np.array(Y))),
        test=(convert(X_TEST.astype(dtype)), convert(np.array(Y_TEST))),
    )
    np.testing.assert_array_equal(dataset.train.inputs, X)
    np.testing.assert_array_equal(dataset.train.labels, Y)
    is_float = dtype == np.float32 and convert != np.ndarray.tolist
    if convert != np.ndarray.tolist:
        assert dataset.train.inputs.dtype == (np.float32 if is_float else np.uint8)


@pytest.mark.parametrize(
    ("dtype", "shape", "expected"),
    [
        (np.uint8, (2,), np.uint8),
        (np.uint8, (2, 3), np.uint8),
        (np.int64, (2,), np.float32),
        (np.uint16, (2, 3), np.uint8),
        (np.int8, (2, 3, 1), np.uint8),
        (np.float16, (2,), np.float32),
        (np.float64, (2, 3, 4, 5), np.float32),
        (">f4", (2, 3), np.float32),
        (jnp.bfloat16, (2, 3), np.float32),
    ],
)
def test_types_of_inputs(dtype, shape, expected):
    x = np.arange(6 * np.prod(shape)).reshape(6, *shape) % 100
    x_test = x[:3] + 1
    dataset = from_arrays(train=(x.astype(dtype), Y), test=(x_test.astype(dtype), Y_TEST))
    assert dataset.train.inputs.dtype == expected
    assert dataset.train.inputs.dtype.isnative
    assert dataset.input_shape == shape
    np.testing.assert_array_equal(dataset.test.inputs, x_test)


@pytest.mark.parametrize(
    "labels",
    [WORDS, np.array(WORDS), np.array(WORDS, object), np.array(WORDS, np.dtypes.StringDType())],
)
def test_texts_as_labels(labels):
    dataset = from_arrays(train=(X, labels), test=(X_TEST, labels[:3]))
    assert dataset.class_names == ("cat", "dog", "owl")
    assert dataset.train.labels.tolist() == [0, 2, 0, 1, 1, 2]
    assert dataset.test.labels.tolist() == [0, 2, 0]


def test_class_names_and_ids():
    dataset = from_arrays(
        name="pets",
        train=(X, WORDS),
        test=(X_TEST, WORDS[:3]),
        class_names=["owl", "dog", "cat"],
        train_ids=list("fedcba"),
        test_ids=np.array([2**63 - 1, 3, 0], np.uint64),
    )
    assert (dataset.name, dataset.class_names) == ("pets", ("owl", "dog", "cat"))
    assert dataset.train.labels.tolist() == [2, 0, 2, 1, 1, 0]
    assert dataset.train.ids.tolist() == list("fedcba")
    assert dataset.test.ids.tolist() == [2**63 - 1, 3, 0]


FLOATS = X.astype(np.float64)
NAN = FLOATS.copy()
NAN[2, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"train": X}, "train must be a pair (inputs, labels), got ndarray"),
        ({"test": (X_TEST, Y_TEST, Y_TEST)}, "test must be a pair (inputs, labels), got tuple"),
        ({"train": (X[:0], [])}, "train inputs must be a non-empty [M, ...], got the shape (0, 4"),
        ({"train": (Y, Y)}, "train inputs must be a non-empty [M, ...], got the shape (6,)"),
        ({"train": ([[1, 2], [3]], [0, 1])}, "train inputs must be an array in the memory of the"),
        (
            {"train": (X > 3, Y)},
            "train inputs must be uint8 (0..255), other integers, float16, bfl",
        ),
        ({"train": (X.astype(str), Y)}, "float32 or float64, got <U"),
        ({"train": (X.astype(complex), Y)}, "float32 or float64, got complex128"),
        ({"train": (X.astype(int) - 1, Y)}, "must lie in 0..255, got int64 in -1..254"),
        ({"train": (FLOATS, Y)}, "both be uint8 or both be floats, got float32 and uint8"),
        ({"train": (NAN, Y)}, "NaN or infinity in 1 of 6 examples"),
        ({"train": (X[:, 1:], Y)}, "train and test examples must have one shape, got (3, 5, 3) an"),
        ({"train": (X, Y[:5])}, "train labels must have one value per example, [6], got the shape"),
        ({"train": (X, np.eye(6))}, "train labels must have one value per example, [6], got the"),
        ({"train": (X, 3)}, "train labels must have one value per example, [6], got the shape ()"),
        ({"train": (X, [0.0, 1, 2, 0, 1, 2])}, "train labels must be integers or texts, got float"),
        ({"train": (X, np.array(Y, float))}, "labels must be integers or texts, got float64"),
        ({"train": (X, [0, 1, np.nan, 0, 1, 2])}, "must be integers or texts, got float and int"),
        ({"train": (X, [0, 1, None, 0, 1, 2])}, "must be integers or texts, got NoneType and int"),
        ({"train": (X, [0, 1, "2", 0, 1, 2])}, "must be integers or texts, got int and str"),
        ({"train": (X, [0, 1, True, 0, 1, 2])}, "must be integers or texts, got bool and int"),
        ({"train": (X, np.array(WORDS, "S"))}, "must be integers or texts, got |S3"),
        ({"train": (X, WORDS)}, "must both be integers or both be texts, got texts and integers"),
        ({"test": (X_TEST, [2, 1, -1])}, "test labels must not be negative, got -1"),
        ({"test": (X_TEST, [2, 1, 9])}, "without large gaps, or class_names be given: got the"),
        (
            {"train": (X, [1, 2, 3, 1, 2, 3])},
            "every class must have train examples, and none has 0, of 4 classes; integer labels co",
        ),
        ({"test": (X_TEST, [2, 1, 4])}, "none has 3, 4, of 5 classes"),
        ({"train": (X, [0] * 6), "test": (X_TEST, [0] * 3)}, "at least two classes, got only '0'"),
        ({"train": (X, ["a"] * 6), "test": (X_TEST, ["b"] * 3)}, "two classes, got only 'a'"),
        (
            {"train": (X, WORDS), "test": (X_TEST, ["cat", "cow", "owl"])},
            "test labels must be among the classes cat, dog, owl, got 'cow'",
        ),
        (
            {"train": (X, WORDS), "test": (X_TEST, WORDS[:3]), "class_names": ["cat", "dog"]},
            "train labels must be among the classes cat, dog, got 'owl'",
        ),
        (
            {"train": (X, WORDS), "test": (X_TEST, WORDS[:3]), "class_names": ["cat", "cat"]},
            "class_names must all differ where labels are texts",
        ),
        ({"class_names": ["a", "b"]}, "train labels must lie in 0..1, as there are 2 class_names"),
        ({"class_names": "abc"}, "class_names must be a non-empty list of texts, got 'abc'"),
        ({"class_names": []}, "class_names must be a non-empty list of texts, got []"),
        (
            {"class_names": [1, 2, 3]},
            "class_names must be a non-empty list of texts, got [1, 2, 3]",
        ),
        ({"train_ids": [1, 2, 3, 4, 5, 1]}, "train ids must all differ, got 1 repeatedly"),
        ({"train_ids": [1, 2, 3]}, "train ids must have one value per example, [6], got the shape"),
        ({"test_ids": [0.0, 1.0, 2.0]}, "test ids must be integers or texts, got float"),
        ({"test_ids": [0, 1, "2"]}, "test ids must be integers or texts, got int and str"),
        (
            {"test_ids": [0, 1, 2**63]},
            "test ids must have at most 63 bits, got 0..9223372036854775808",
        ),
        ({"test_ids": [0, 1, 2**64]}, "test ids must have at most 63 bits, got 0..18446744073709"),
        ({"test_ids": np.array([0, 1, 2**63], np.uint64)}, "ids must have at most 63 bits, got 0"),
    ],
)
def test_wrong_arrays(changes, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        from_arrays(**changes)
    assert str(caught.value).startswith("arrays: ")
    assert "\n" not in str(caught.value)


def test_prepared_sets(prepare, folders, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_JAX_CACHE", str(folders.cache))
    images = {"train": X, "test": X_TEST}
    prepare("mnist", images, {"train": Y, "test": Y_TEST})
    dataset = Dataset.from_tfds("mnist", data_dir=folders.data)
    np.testing.assert_array_equal(dataset.train.inputs, X)
    assert dataset.name == "mnist"
    for wrong in ("digits", "npz:x", "cifar"):
        with pytest.raises(ValueError, match=rf"^name must be one of mnist, .*; got '{wrong}'$"):
            Dataset.from_tfds(wrong, data_dir=folders.data)


def test_folders(write_image, tmp_path):
    for path in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        write_image(f"what?/{path}", size=(8, 10))
    path, cache = tmp_path / "what?", tmp_path / "cache"
    assert Dataset.from_folder(path, cache_dir=cache).input_shape == (64, 64, 3)
    assert Dataset.from_folder(path, size=4, channels=1, cache_dir=cache).input_shape == (4, 4, 1)
    dataset = Dataset.from_folder(str(path), size=None, cache_dir=cache)
    assert dataset.input_shape == (8, 10, 3)
    assert dataset.class_names == ("a", "b")
    (path / "a" / "3.png").write_text("broken")
    with pytest.raises(ValueError, match=r"leave such out by skip_broken=True$"):
        Dataset.from_folder(path, cache_dir=cache)
    with pytest.warns(UserWarning, match="skipped 1 broken of 5 images"):
        assert len(Dataset.from_folder(path, skip_broken=True, cache_dir=cache).train) == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"path": "/nowhere"}, "folder:/nowhere: /nowhere is not a folder"),
        ({"path": "/", "size": 0}, "size must be at least 1 in height and width, got (0, 0)"),
        ({"path": "/", "channels": 4}, "channels must be 1 or 3, got 4"),
    ],
)
def test_wrong_folders(arguments, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        Dataset.from_folder(**arguments)


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Table:
    """What is used of a `datasets.Dataset`; a column is a view, as in its newer versions."""

    def __init__(self, columns, names=None, form=None):
        self.features = {name: ClassLabel(names) if name == "label" else None for name in columns}
        self._columns, self._names, self._form = columns, names, form

    def with_format(self, form):
        return Table(self._columns, self._names, form)

    def __len__(self):
        return len(next(iter(self._columns.values())))

    def __getitem__(self, key):
        if isinstance(key, int):
            return {name: column[key] for name, column in self._columns.items()}
        return np.array(self._columns[key]) if self._form else self._columns[key]


def make_real_table(columns, names=None):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(columns)
    if names:
        table = table.cast_column("label", datasets.ClassLabel(names=names))
    return table


TABLES = pytest.mark.parametrize("table", [Table, make_real_table])
NAMES = ["x", "y", "z"]


def pillow(images):
    return [PIL.Image.fromarray(image) for image in images]


@TABLES
def test_table_of_images(table):
    train = table({"image": pillow(X), "label": Y}, NAMES)
    dataset = Dataset.from_huggingface(
        train, table({"image": pillow(X_TEST), "label": Y_TEST}, NAMES)
    )
    assert (dataset.name, dataset.class_names) == ("huggingface", ("x", "y", "z"))
    np.testing.assert_array_equal(dataset.train.inputs, X)
    np.testing.assert_array_equal(dataset.test.inputs, X_TEST)
    assert dataset.test.labels.tolist() == Y_TEST


@TABLES
def test_images_are_grey_if_all_are(table):
    grey = table({"image": pillow(X[..., 0]), "label": Y})
    grey_test = table({"image": pillow(X_TEST[..., 0]), "label": Y_TEST})
    coloured = table({"image": pillow(X_TEST), "label": Y_TEST})
    dataset = Dataset.from_huggingface(grey, grey_test)
    np.testing.assert_array_equal(dataset.train.inputs, X[..., :1])
    dataset = Dataset.from_huggingface(grey, coloured)
    np.testing.assert_array_equal(dataset.train.inputs, np.repeat(X[..., :1], 3, axis=-1))
    np.testing.assert_array_equal(dataset.test.inputs, X_TEST)


@TABLES
def test_table_of_numbers(table):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2)
    train = table({"x": values.tolist(), "kind": WORDS})
    test = table({"x": (values[:3] + 1).tolist(), "kind": WORDS[:3]})
    dataset = Dataset.from_huggingface(train, test, input="x", label="kind", name="own")
    assert (dataset.name, dataset.class_names) == ("own", ("cat", "dog", "owl"))
    assert dataset.train.inputs.dtype == np.float32
    np.testing.assert_allclose(dataset.train.inputs, values)


@TABLES
def test_table_of_texts(table, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text(VECTORS)
    train = table({"text": ["red blood", "blue sky"], "label": [0, 1]}, ["r", "b"])
    test = table({"text": ["a blue one"], "label": [1]}, ["r", "b"])
    dataset = Dataset.from_huggingface(train, test, input="text", word_vectors=vectors)
    assert dataset.class_names == ("r", "b")
    assert [dataset.words[word] for word in dataset.train.inputs[0]] == ["red", "blood"]
    for table_, path in ((train, None), (table({"text": [[1.0]], "label": [0]}), vectors)):
        with pytest.raises(ValueError, match="word_vectors must name a file of word vectors for t"):
            Dataset.from_huggingface(table_, table_, input="text", word_vectors=path)


FEW = Table({"image": pillow(X), "label": Y})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (([1, 2], FEW), "train must be a datasets.Dataset, such as datasets.load_dataset(..., spl"),
        (({"train": FEW}, FEW), "split='train'), got dict"),
        ((FEW, Table({"image": [], "label": []})), "test must have at least one row, got none"),
        (
            (FEW, Table({"img": pillow(X), "label": Y})),
            "input must be a column of test, one of img",
        ),
        (
            (FEW, Table({"image": pillow(X)})),
            "label must be a column of test, one of image; got 'l",
        ),
        (
            (FEW, Table({"image": pillow(X), "label": Y}, NAMES)),
            "must have the same class names in label, got None and ['x', 'y', 'z']",
        ),
        (
            (FEW, Table({"image": pillow(X[:, 1:]), "label": Y})),
            "got uint8 [4, 5, 3] in train[0] and uint8 [3, 5, 3] in test[0]",
        ),
        ((FEW, Table({"image": pillow(X), "label": [-1] * 6})), "test labels must not be negative"),
    ],
)
def test_wrong_tables(arguments, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        Dataset.from_huggingface(*arguments)
    assert str(caught.value).startswith("huggingface: ")
    assert "\n" not in str(caught.value)


class Tensor:
    """What is used of a tensor: that NumPy can read it, and that a scalar can be asked for."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self._values

    def item(self):
        return self._values.item()


def make_real_tensor(values):
    return pytest.importorskip("torch").tensor(values)


class Pairs(list):
    """A map-style set."""


@pytest.mark.parametrize("tensor", [np.asarray, Tensor, make_real_tensor])
def test_pairs_of_tensors(tensor):
    values = np.float32(X) / 255

    def pairs(images, labels):
        return [
            (tensor(np.moveaxis(image, -1, 0).copy()), tensor(label))
            for image, label in zip(images, labels, strict=True)
        ]

    dataset = Dataset.from_torch(pairs(values, Y), pairs(values[:3] + 1, Y_TEST))
    assert (dataset.name, dataset.class_names) == ("torch", ("0", "1", "2"))
    np.testing.assert_array_equal(dataset.train.inputs, values)
    assert dataset.train.inputs.flags.c_contiguous
    assert dataset.test.labels.tolist() == Y_TEST


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 5, 7), (5, 7, 3)),
        ((1, 5, 7), (5, 7, 1)),
        ((4, 5, 7), (5, 7, 4)),
        ((5, 7, 3), (5, 7, 3)),
        ((3, 5, 3), (3, 5, 3)),
        ((2, 5, 7), (2, 5, 7)),
        ((3, 7), (3, 7)),
        ((3, 2, 5, 7), (3, 2, 5, 7)),
    ],
)
def test_channels_come_last(shape, expected):
    values = np.random.default_rng(0).random((9, *shape), np.float32)
    pairs = list(zip(values, [*Y, *Y_TEST], strict=True))
    assert Dataset.from_torch(pairs[:6], pairs[6:]).input_shape == expected


def test_pairs_of_images_with_classes():
    train = Pairs(zip(pillow(X), Y, strict=True))
    train.classes = ["x", "y", "z"]
    dataset = Dataset.from_torch(train, list(zip(pillow(X_TEST), Y_TEST, strict=True)), name="own")
    assert (dataset.name, dataset.class_names) == ("own", ("x", "y", "z"))
    np.testing.assert_array_equal(dataset.train.inputs, X)


PAIRS = list(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    ("train", "test", "problem"),
    [
        (
            iter(PAIRS),
            PAIRS,
            "train must have a length and examples by position, got list_iterator",
        ),
        (PAIRS, [{"image": X[0]}], "test[0] must be a pair of input and label, got dict"),
        (PAIRS, [(X[0], 0), (X[0], 0, 1)], "test[1] must be a pair of input and label, got tuple"),
        ([], PAIRS, "train must have at least one example, got none"),
        (
            PAIRS,
            [(X[0], 0), (X[0, 1:], 1)],
            "inputs must be of one shape and type, got uint8 [4, 5, 3] in train[0] and uint8 [3, 5,"
            " 3] in test[1]",
        ),
        (PAIRS, [(X[0] / 255, 0)], "uint8 [4, 5, 3] in train[0] and float64 [4, 5, 3] in test[0]"),
        (PAIRS, [(X[0], 0.0)], "test labels must be integers or texts, got float"),
        (
            PAIRS,
            [(X[0], np.eye(3)[0])],
            "test labels must have one value per example, [1], got the",
        ),
    ],
)
def test_wrong_pairs(train, test, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        Dataset.from_torch(train, test)
    assert str(caught.value).startswith("torch: ")
    assert "\n" not in str(caught.value)


TEXTS = ["red blood", "blue sky", "red", "blue"]
TAGS = ["r", "b", "r", "b"]


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS)
    return path


def test_texts_are_as_from_files(vectors, tmp_path):
    test = ["a red one", "blue blood"]
    dataset = Dataset.from_texts(train=(TEXTS, TAGS), test=(test, ["r", "b"]), word_vectors=vectors)
    for split, texts in (("train", TEXTS), ("test", test)):
        lines = [f"{tag}\t{text}\n" for tag, text in zip(TAGS, texts, strict=False)]
        (tmp_path / f"own_{split}.tsv").write_text("".join(lines))
    same = load_dataset(f"tsv:{tmp_path}/own", word_vectors=vectors)
    assert (dataset.name, dataset.class_names, dataset.words) == ("texts", ("b", "r"), same.words)
    np.testing.assert_array_equal(dataset.word_vectors, same.word_vectors)
    for split, examples in dataset.splits.items():
        for field in ("inputs", "labels", "ids"):
            expected = getattr(same.splits[split], field)
            np.testing.assert_array_equal(getattr(examples, field), expected)


def test_texts_with_numbers(vectors):
    numbers = [0, 1, 0, 1]
    train = (TEXTS, numbers)
    test = (["red sky", "blue blood"], [0, 1])
    dataset = Dataset.from_texts(
        train=train, test=test, word_vectors=vectors, class_names=["red", "blue"]
    )
    assert dataset.class_names == ("red", "blue")
    assert dataset.train.labels.tolist() == numbers


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"train": TEXTS}, "texts: train must be a pair (inputs, labels), got list"),
        ({"train": ("red", TAGS)}, "texts: train inputs must be a list of texts, got 'red'"),
        ({"test": ([], [])}, "texts: test inputs must be a list of texts, got []"),
        ({"train": (["a", 3, "b", "c"], TAGS)}, "texts: train inputs must be texts, got 3"),
        ({"test": (TEXTS, TAGS[:2])}, "test labels must have one value per example, [4], got the"),
        ({"word_vectors": "/nowhere"}, "word_vectors /nowhere is not a file"),
    ],
)
def test_wrong_texts(vectors, changes, problem):
    arguments = {"train": (TEXTS, TAGS), "test": (TEXTS, TAGS), "word_vectors": vectors} | changes
    with pytest.raises(ValueError, match=re.escape(problem)):
        Dataset.from_texts(**arguments)
