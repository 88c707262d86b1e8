"""Labelled texts from files, as ids of words with a vector for each id."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.arrays import encode_labels
from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.draws import stratified_split
from ensemble_jax.data.folders import Folders, expanded
from ensemble_jax.data.name_options import FLAG, NameOption, split_name
from ensemble_jax.data.text_files import (
    LabelledTexts,
    TextFormat,
    check_labels,
    read_texts,
)
from ensemble_jax.data.word_vectors import make_vocabulary, read_word_vectors
from ensemble_jax.data.wording import first_few
from ensemble_jax.data.words import encode_texts, split_characters, split_words, unspaced_share

TSV_PREFIX = "tsv:"
"""The prefix of the name of a set of lines with tabs, before the path."""

CSV_PREFIX = "csv:"
"""The prefix of the name of a set in CSV, before the path."""

STACK_OVERFLOW = "stackoverflow"
"""The set of the posts of `POSTS_FILE`."""

POSTS_FILE = "stack-overflow-data.csv"
"""The published name of the file with 40,000 posts of Stack Overflow."""

_POSTS_URL = f"https://storage.googleapis.com/tensorflow-workshop-examples/{POSTS_FILE}"

# Part of the data sets' definitions: other numbers are other sets.
_SPLIT_SEED = 2008

_LENGTH_QUANTILE = 0.95
_MOST_WORDS = 200
_MOST_UNSPACED = 0.2

_TSV = TextFormat(text="2", label="1", delimiter="\t", header=None, quotes=False)
_POSTS = TextFormat(text="post", label="tags", test=1 / 40, of_html=True)
_COLUMN = NameOption(".+", "the name or number of a column")
_OPTIONS = {
    "text": _COLUMN,
    "label": _COLUMN,
    "true_label": _COLUMN,
    "delimiter": NameOption("tab|.", "one character or tab", lambda s: {"tab": "\t"}.get(s, s)),
    "encoding": NameOption("[\\w-]+", "an encoding such as utf-8, utf-16, latin-1 or cp1252"),
    "header": FLAG,
    "test": NameOption(r"0?\.\d+", "a share between 0 and 1", float),
    "characters": FLAG,
    "skip_broken": FLAG,
}


class _TextName(NamedTuple):
    """What a name says."""

    path: Path
    form: TextFormat


def parse_text_name(name: str) -> _TextName:
    """The path and the options in a name `tsv:PATH` or `csv:PATH`; reads nothing.

    Raises:
        ValueError: if an option is unknown or has no value that it may have.

    >>> parse_text_name("csv:posts.csv?label=class&delimiter=tab").form.label
    'class'
    """
    prefix = TSV_PREFIX if name.startswith(TSV_PREFIX) else CSV_PREFIX
    path, options = split_name(name, prefix, _OPTIONS)
    try:
        form = replace(_TSV if prefix == TSV_PREFIX else _POSTS, **options)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return _TextName(expanded(path), form)


def load_tsv(name: str, folders: Folders) -> Dataset:
    """Texts with their labels, for a name `tsv:PATH` or `tsv:PATH?OPTION=VALUE&...`.

    A leading `~` is expanded; a shell needs quotes around a name with options. A file has one text
    per line, `label TAB text`, in UTF-8, without a header and without quotes. Where `PATH` is a
    file, each class gives a fifth of its texts, rounded but at least one, to the test split; the
    choice and the order are fixed for ever. Else the splits are the files `PATH_train.tsv` and
    `PATH_test.tsv`.

    | option | meaning |
    |---|---|
    | `text=COLUMN`, `label=COLUMN` | the columns, by name in a header or by number from 1 |
    | `true_label=COLUMN` | what the texts really are where labels may be wrong: `Split.true_labels` |
    | `delimiter=;` | one character, or `tab` |
    | `encoding=latin-1` | any that Python has |
    | `header=1` | the first row names the columns, or with 0 it does not |
    | `test=0.1` | the share of each class that is tested on, of a single file |
    | `characters=1` | each character is a word, for scripts without blanks between words |
    | `skip_broken=1` | rows without a text, or with another number of values than the first, are left out, with a warning |

    Inputs are int32 `[M, L]`, the ids of the words as `words.split_words` finds them, 0 after the
    last; see `words.encode_texts`. L is the least number of words that 95 % of the training texts
    do not exceed, at most 200; of longer texts the first L words count. `word_vectors` has the
    vector of each id, see `word_vectors.make_vocabulary`. Classes are the labels of the training
    texts in the order of the alphabet. An example's id is the number of its row, from 0, the header
    not counted. Rows without a label are left out, which `Dataset.summary` tells.

    Raises:
        ValueError: if a file is missing, or not as described, or of one class only, or the test
            texts have a label that the training texts lack, or the vectors cannot be read.
    """  # noqa: E501
    return from_text_files(name, *parse_text_name(name), folders)


def load_csv(name: str, folders: Folders) -> Dataset:
    """Posts with a tag each, for a name `csv:PATH` or `csv:PATH?OPTION=VALUE&...`.

    The file is CSV with a header in UTF-8. Its column `post` holds the text, which may be of many
    lines, and `tags` the label, unless the options of `load_tsv` name others; other columns are
    ignored. HTML is taken out of the texts: elements that Stack Overflow allows become blanks,
    entities become the characters they stand for. Each class gives a fortieth of its posts, rounded
    but at least one, to the test split: of the paper's 40,000 posts of 20 tags 39,000 are trained
    on and 1,000 tested on. All else is as for `load_tsv`, with `PATH_train.csv` and
    `PATH_test.csv`.

    Raises:
        ValueError: as `load_tsv` does.
    """
    return from_text_files(name, *parse_text_name(name), folders)


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
    return from_text_files(name, path, _POSTS, folders)


def from_text_files(name: str, path: Path, form: TextFormat, folders: Folders) -> Dataset:
    """The data set of one file, or of those of the two splits; the name is for messages."""
    if path.is_file():
        train, test = _split(name, _checked(name, path, form), form.test)
    else:
        suffix = "csv" if form.quotes else "tsv"
        files = [path.with_name(f"{path.name}_{split}.{suffix}") for split in ("train", "test")]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            raise ValueError(
                f"{name}: must name a file of texts with labels, or what comes before "
                f"_train.{suffix} and _test.{suffix} in two such files; {path} is no file, and "
                f"there is no {' and no '.join(missing)}"
            )
        train = _checked(name, files[0], form)
        test = read_texts(name, files[1], form)
    dataset = from_texts(
        name,
        {"train": train.texts, "test": test.texts},
        {"train": train.labels, "test": test.labels},
        folders.word_vectors,
        ids={"train": train.ids, "test": test.ids},
        train_true_labels=train.true_labels,
        characters=form.characters,
    )
    return replace(dataset, notes=(*dataset.notes, *dict.fromkeys(train.notes + test.notes)))


def _checked(name: str, path: Path, form: TextFormat) -> LabelledTexts:
    texts = read_texts(name, path, form)
    check_labels(name, path, form, texts)
    return texts


def _split(
    name: str, texts: LabelledTexts, test_share: float
) -> tuple[LabelledTexts, LabelledTexts]:
    """Texts to train and to test on."""
    classes, labels, counts = np.unique(texts.labels, return_inverse=True, return_counts=True)
    alone = classes[counts < 2].tolist()
    if alone:
        raise ValueError(
            f"{name}: every class must have at least 2 texts, one to train and one to test on, got "
            f"{len(alone)} of {len(classes)} classes with one: {first_few(alone)}"
        )
    train, test = stratified_split(labels, test_share, _SPLIT_SEED)
    return texts.select(train), texts.select(test)


def from_texts(
    name: str,
    texts: Mapping[str, Sequence[str]],
    labels: Mapping[str, Any],
    word_vectors: Path | None,
    *,
    ids: Mapping[str, Int[np.ndarray, " M"]] | None = None,
    class_names: Sequence[str] | None = None,
    train_true_labels: Any = None,
    characters: bool = False,
) -> Dataset:
    """The data set of texts by split: words become ids and labels numbers.

    Args:
        name: of the data set.
        texts: of each split.
        labels: theirs, as `encode_labels` takes them.
        word_vectors: a file of GloVe's.
        ids: of the texts; by default their positions.
        class_names: as of `encode_labels`.
        train_true_labels: as of `Dataset.from_arrays`.
        characters: whether each character is a word.

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
    encoded = encode_labels(name, labels, sizes, class_names, train_true_labels)
    unspaced = unspaced_share(texts["train"])
    if unspaced > _MOST_UNSPACED and not characters:
        warnings.warn(
            f"{name}: {unspaced:.0%} of the characters are of scripts without blanks between "
            "words, so that phrases count as words; characters=1 makes each character a word",
            stacklevel=2,
        )
    split_text = split_characters if characters else split_words
    words = {
        split: [split_text(text, _MOST_WORDS) for text in of_split]
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
            encoded.numbers.get(f"{split} true"),
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
