"""Labelled texts from files, as ids of words with a vector for each id."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.arrays import encode_labels
from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.draws import stratified_split
from ensemble_jax.data.folders import Folders
from ensemble_jax.data.word_vectors import make_vocabulary, read_word_vectors
from ensemble_jax.data.words import encode_texts, split_words

TSV_PREFIX = "tsv:"
"""What comes before the path in the name of a set of texts with tabs."""

CSV_PREFIX = "csv:"
"""What comes before the path in the name of a set of posts."""

STACK_OVERFLOW = "stackoverflow"
"""The set of the posts of `POSTS_FILE`."""

POSTS_FILE = "stack-overflow-data.csv"
"""The published name of the file with 40,000 posts of Stack Overflow."""

_POSTS_URL = f"https://storage.googleapis.com/tensorflow-workshop-examples/{POSTS_FILE}"

# Part of the data sets' definitions: other numbers are other sets.
_SPLIT_SEED = 2008
_TSV_TEST_FRACTION = 0.2
_POSTS_TEST_FRACTION = 1 / 40

_LENGTH_QUANTILE = 0.95
_MOST_WORDS = 200

_POST, _TAG = _COLUMNS = ("post", "tags")
# The elements that Stack Overflow lets posts have. Code such as `vector<int>` is none of them.
_HTML_TAG = re.compile(
    r"</?(?:a|b|blockquote|br|code|dd|del|div|dl|dt|em|h[1-6]|hr|i|img|kbd|li|ol|p|pre|s|span"
    r"|strike|strong|sub|sup|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)


class _Texts(NamedTuple):
    """M labelled texts of one file, with their numbers in it."""

    labels: Sequence[str]
    texts: Sequence[str]
    ids: Int[np.ndarray, " M"]

    def choose(self, rows: Int[np.ndarray, " chosen"]) -> _Texts:
        """The texts at these positions."""
        labels = [self.labels[int(row)] for row in rows]
        return _Texts(labels, [self.texts[int(row)] for row in rows], self.ids[rows])


def load_tsv(name: str, folders: Folders) -> Dataset:
    """Texts with their labels, for a name `tsv:PATH`; a leading `~` is expanded.

    Where `PATH` is a file, each class gives a fifth of its texts, rounded but
    at least one, to the test split; the
    choice and the order are fixed for ever. Else the splits are the files `PATH_train.tsv` and
    `PATH_test.tsv`. A file has one text per line, `label TAB text`, in UTF-8, without a header.

    Inputs are int32 `[M, L]`, the ids of the words as `words.split_words` finds them, 0 after the
    last; see `words.encode_texts`. L is the least number of words that 95 % of the training texts
    do not exceed, at most 200; of longer texts the first L words count. `word_vectors` has the
    vector of each id, see `word_vectors.make_vocabulary`. Classes are the labels of the training
    texts in the order of the alphabet. An example's id is the number of its line, from 0.

    Raises:
        ValueError: if a file is missing, or not as described, or of one class only, or the test
            texts have a label that the training texts lack, or the vectors cannot be read.
    """
    path = Path(name.removeprefix(TSV_PREFIX)).expanduser()
    if path.is_file():
        train, test = _split(name, _read_tsv(name, path), _TSV_TEST_FRACTION)
    else:
        files = [path.with_name(f"{path.name}_{split}.tsv") for split in ("train", "test")]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            raise ValueError(
                f"{name}: must name a file of lines `label TAB text`, or what comes before "
                f"_train.tsv and _test.tsv in two such files, got no {' and no '.join(missing)}"
            )
        train, test = (_read_tsv(name, file) for file in files)
    return _make_dataset(name, train, test, folders)


def load_csv(name: str, folders: Folders) -> Dataset:
    """Posts with a tag each, for a name `csv:PATH`; a leading `~` is expanded.

    The file is CSV with a header in UTF-8. Of its columns `post` holds the text, which may be of
    many lines, and `tags` the label; rows without a tag are left out, other columns are ignored.
    HTML is taken out of the posts: elements that Stack Overflow allows become blanks, entities
    become the characters they stand for. Each class gives a fortieth of its posts, rounded but at
    least one, to the test split: of the paper's 40,000 posts of 20 tags 39,000 are trained on and
    1,000 tested on. The choice and the order are fixed for ever. All else is as for `load_tsv`; an
    example's id is the number of its row, from 0.

    Raises:
        ValueError: as `load_tsv` does.
    """
    path = Path(name.removeprefix(CSV_PREFIX)).expanduser()
    return _load_posts(name, path, folders)


def load_stack_overflow(name: str, folders: Folders) -> Dataset:
    """The paper's posts of Stack Overflow: `load_csv` of `POSTS_FILE` in the data folder.

    Raises:
        ValueError: as `load_csv` does; where there is no file, the line says where it comes from.
    """
    path = folders.data / POSTS_FILE
    if not path.is_file():
        raise ValueError(
            f"{name}: there is no file {path}; download it from {_POSTS_URL}, or name it where it "
            f"lies as {CSV_PREFIX}PATH"
        )
    return _load_posts(name, path, folders)


def _load_posts(name: str, path: Path, folders: Folders) -> Dataset:
    if not path.is_file():
        raise ValueError(f"{name}: {path} is not a file")
    return _make_dataset(
        name, *_split(name, _read_posts(name, path), _POSTS_TEST_FRACTION), folders
    )


def _read_text(name: str, path: Path) -> str:
    """The content of a file in UTF-8, with or without a byte order mark."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}: {path} must be UTF-8, and line {line} is not ({error.reason})"
        ) from error


def _read_tsv(name: str, path: Path) -> _Texts:
    """All lines of a file."""
    lines = _read_text(name, path).split("\n")
    if not lines[-1]:
        lines.pop()
    labels, texts = [], []
    for number, line in enumerate(lines, start=1):
        label, tab, text = line.partition("\t")
        if not tab:
            raise ValueError(f"{name}: {path}, line {number} has no tab between label and text")
        labels.append(_filled(name, path, number, "label", label))
        texts.append(_filled(name, path, number, "text", text))
    return _not_empty(name, path, _Texts(labels, texts, np.arange(len(texts))))


def _read_posts(name: str, path: Path) -> _Texts:
    """All rows of a file that have a tag."""
    reader = csv.DictReader(io.StringIO(_read_text(name, path), newline=""), strict=True)
    labels, texts, ids = [], [], []
    try:
        columns = reader.fieldnames or []
        if not set(_COLUMNS) <= set(columns):
            raise ValueError(
                f"{name}: {path} must have the columns {' and '.join(_COLUMNS)}, got "
                f"{', '.join(columns) or 'an empty file'}"
            )
        for number, row in enumerate(reader):
            if None in row or None in row.values():
                raise ValueError(
                    f"{name}: {path}, line {reader.line_num}: the row must have {len(columns)} "
                    "values, as the header has"
                )
            if not row[_TAG].strip():
                continue
            labels.append(row[_TAG].strip())
            text = html.unescape(_HTML_TAG.sub(" ", row[_POST]))
            texts.append(_filled(name, path, reader.line_num, _POST, text))
            ids.append(number)
    except csv.Error as error:
        raise ValueError(f"{name}: {path}, after line {reader.line_num}: {error}") from error
    return _not_empty(name, path, _Texts(labels, texts, np.array(ids, np.int64)))


def _filled(name: str, path: Path, line: int, field: str, value: str) -> str:
    """The value without blanks around it, an error if there is nothing else."""
    value = value.strip()
    if not value:
        raise ValueError(f"{name}: {path}, line {line} has an empty {field}")
    return value


def _not_empty(name: str, path: Path, texts: _Texts) -> _Texts:
    """The texts, an error if there is none."""
    if not texts.texts:
        raise ValueError(f"{name}: {path} has no text")
    return texts


def _split(name: str, texts: _Texts, test_fraction: float) -> tuple[_Texts, _Texts]:
    """Texts to train and to test on."""
    classes, labels, counts = np.unique(texts.labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"{name}: every class must have at least 2 texts, one to train and one to test on, got "
            f"one of {classes[counts.argmin()]}"
        )
    train, test = stratified_split(labels, test_fraction, _SPLIT_SEED)
    return texts.choose(train), texts.choose(test)


def _make_dataset(name: str, train: _Texts, test: _Texts, folders: Folders) -> Dataset:
    """The data set of the texts of two files."""
    return from_texts(
        name,
        {"train": train.texts, "test": test.texts},
        {"train": train.labels, "test": test.labels},
        folders.word_vectors,
        ids={"train": train.ids, "test": test.ids},
    )


def from_texts(
    name: str,
    texts: Mapping[str, Sequence[str]],
    labels: Mapping[str, Any],
    word_vectors: Path | None,
    *,
    ids: Mapping[str, Int[np.ndarray, " M"]] | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """The data set of texts by split: words become ids and labels numbers.

    Args:
        name: of the data set.
        texts: of each split.
        labels: theirs, as `encode_labels` takes them.
        word_vectors: a file of GloVe's.
        ids: of the texts; by default their positions.
        class_names: as of `encode_labels`.

    Raises:
        ValueError: if there is no such file, or something else is given than texts and labels.
    """
    if word_vectors is None or not word_vectors.is_file():
        raise ValueError(f"word_vectors {word_vectors} is not a file")
    for split, of_split in texts.items():
        if isinstance(of_split, str) or not len(of_split):
            raise ValueError(f"{name}: {split} inputs must be a list of texts, got {of_split!r}")
        wrong = next((text for text in of_split if not isinstance(text, str)), None)
        if wrong is not None:
            raise ValueError(f"{name}: {split} inputs must be texts, got {wrong!r}")
    sizes = {split: len(of_split) for split, of_split in texts.items()}
    encoded = encode_labels(name, labels, sizes, class_names)
    words = {
        split: [split_words(text, _MOST_WORDS) for text in of_split]
        for split, of_split in texts.items()
    }
    lengths = [len(of_text) for of_text in words["train"]]
    length = max(1, int(np.quantile(lengths, _LENGTH_QUANTILE, method="inverted_cdf")))
    counts = Counter(word for of_text in words["train"] for word in of_text)
    # Words of the test texts alone count 0: they have an id if there is a vector for them.
    counts.update(dict.fromkeys((word for of_text in words["test"] for word in of_text), 0))
    known = read_word_vectors(word_vectors, counts)
    vocabulary = make_vocabulary(counts, known)
    drawn = sum(word not in known for word in vocabulary.ids)
    splits = {
        split: Split(
            encode_texts(of_split, vocabulary.ids, length),
            encoded.numbers[split],
            ids[split] if ids else np.arange(sizes[split]),
        )
        for split, of_split in words.items()
    }
    return Dataset(
        name,
        train=splits["train"],
        test=splits["test"],
        class_names=encoded.class_names,
        word_vectors=vocabulary.vectors,
        words=vocabulary.words,
        notes=(f"random vectors for {drawn} words that {word_vectors.name} lacks",)
        if drawn
        else (),
    )
