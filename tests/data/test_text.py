import csv
import re
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.svm import LinearSVC

from ensemble_jax.data import Dataset, load_dataset
from ensemble_jax.data.sources import check_dataset_name
from ensemble_jax.data.words import split_words

GLOVE = "how 1 2\nthe 3 4\nmade 5 6\nare 7 8\n"

TRAIN = (
    "spring\tHow are the beans made?",
    "qt\tThe widget",
    "spring\tbeans, beans: the beans!",
    "qt\thow? Widget the second",
    "bash\t???",
)
TEST = ("bash\tare beans made made made made made", "qt\tunseen made")


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(GLOVE)
    return path


def write_lines(path, lines, end="\n"):
    path.write_bytes("".join(line + end for line in lines).encode())


@pytest.fixture
def load(tmp_path, vectors):
    """Writes train and test lines and loads them."""

    def write_and_load(train=TRAIN, test=TEST, end="\n"):
        write_lines(tmp_path / "own_train.tsv", train, end)
        write_lines(tmp_path / "own_test.tsv", test, end)
        return load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)

    return write_and_load


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_two_files(load, tmp_path, end):
    dataset = load(end=end)
    assert dataset.name == f"tsv:{tmp_path / 'own'}"
    assert dataset.class_names == ("bash", "qt", "spring")
    assert dataset.train.labels.tolist() == [2, 1, 2, 1, 0]
    assert dataset.test.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(dataset.train.ids, range(5))
    np.testing.assert_array_equal(dataset.test.ids, range(2))
    # the: 4 times, beans: 4, how: 2, widget: 2 and without a vector, are: 1, made: 1
    beans, the, how, are, made, unknown = 2, 3, 4, 5, 6, 1
    np.testing.assert_array_equal(
        dataset.train.inputs,
        [
            [how, are, the, beans, made],
            [the, unknown, 0, 0, 0],
            [beans, beans, the, beans, 0],
            [how, unknown, the, unknown, 0],
            [unknown, 0, 0, 0, 0],
        ],
    )
    np.testing.assert_array_equal(
        dataset.test.inputs, [[are, beans, made, made, made], [unknown, made, 0, 0, 0]]
    )
    for split in dataset.splits.values():
        assert split.inputs.dtype == split.labels.dtype == np.int32
        assert split.ids.dtype == np.int64
    assert dataset.word_vectors.dtype == np.float32
    np.testing.assert_array_equal(dataset.word_vectors[0], [0, 0])
    np.testing.assert_array_equal(dataset.word_vectors[[the, how, are, made]], VECTORS)
    np.testing.assert_allclose(dataset.word_vectors[unknown], np.mean(VECTORS, axis=0))


VECTORS = [[3, 4], [1, 2], [7, 8], [5, 6]]


def test_a_byte_order_mark_is_no_part_of_the_first_label(load):
    assert load(train=("\ufeff" + TRAIN[0], *TRAIN[1:])).class_names == ("bash", "qt", "spring")


def test_other_line_separators_are_part_of_a_text(load):
    assert len(load(train=(*TRAIN, "qt\tthe\u2028how\x85are\x0bmade")).train) == 6


def test_the_length_is_what_95_percent_of_the_training_texts_have(load):
    lines = [f"{'ab'[number % 2]}\t{'how ' * (number + 1)}" for number in range(100)]
    assert load(lines, ["a\tthe"]).input_shape == (95,)
    lines = [f"{'ab'[number % 2]}\t{'how ' * 300}" for number in range(10)]
    dataset = load(lines, ["a\tthe"])
    assert dataset.input_shape == (200,)
    assert (dataset.train.inputs > 1).all()


@pytest.mark.filterwarnings("ignore:.*are train examples, too", "ignore:.*have no vector")
def test_one_file_is_split(tmp_path, vectors):
    path = tmp_path / "all.tsv"
    lines = [f"{'aab'[number % 3]}\thow {number}" for number in range(60)]
    write_lines(path, lines)
    dataset = load_dataset(f"tsv:{path}", word_vectors=vectors)
    assert np.bincount(dataset.test.labels).tolist() == [8, 4]
    ids = np.concatenate([dataset.train.ids, dataset.test.ids])
    assert sorted(ids) == list(range(60))
    assert dataset.train.ids.tolist() != sorted(dataset.train.ids)
    for split in dataset.splits.values():
        assert [dataset.class_names[label] for label in split.labels] == [
            lines[id_].split("\t")[0] for id_ in split.ids
        ]
    again = load_dataset(f"tsv:{path}", word_vectors=str(vectors))
    np.testing.assert_array_equal(again.test.ids, dataset.test.ids)
    assert dataset.test.ids.tolist()[:6] == [50, 28, 3, 43, 48, 11]


def test_home_is_expanded(load, tmp_path, monkeypatch):
    load()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_dataset("tsv:~/own", word_vectors="~/vectors.txt").train) == 5


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        (("spring\tthe", "no tab"), "line 2 must have 2 values, as the first row has, got 1; skip"),
        (("spring\tthe", "", "qt\tthe"), "own_train.tsv, line 2 must have 2 values"),
        (("spring\tthe", "qt\tthe\thow"), "line 2 must have 2 values, as the first row has, got 3"),
        (
            ("spring\tthe", "qt\t \r"),
            "line 2 has an empty text; skip_broken=1 leaves such rows out",
        ),
        ((), "own_train.tsv is empty"),
        ((" \tthe",), "own_train.tsv has no text with a label"),
        (("spring;the",), "text must be the name or number of a column, got '2'"),
        (
            ("spring;the",),
            "has 1, without a header, in the first row spring;the; text=COLUMN names",
        ),
        (("spring;the",), "is delimiter=; meant?"),
        (
            ("label\ttext", "qt\tthe", "qt\thow"),
            "own_train.tsv, with the label 'label' that no other row has, looks like a header: hea",
        ),
        (("qt\tthe", "qt\thow"), "there must be at least two classes, got only 'qt'"),
        (
            ("qt\tthe", "spring\tthe"),
            "test labels must be among the classes qt, spring, got 'bash'",
        ),
    ],
)
def test_wrong_lines(load, tmp_path, train, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        load(train)
    assert str(caught.value).startswith(f"tsv:{tmp_path / 'own'}: ")
    assert "\n" not in str(caught.value)


def test_not_utf_8(load, tmp_path, vectors):
    load()
    (tmp_path / "own_test.tsv").write_bytes("qt\tthe\nqt\tüber".encode("latin-1"))
    with pytest.raises(ValueError, match=r"own_test.tsv must be UTF-8, and line 2 is not; enc"):
        load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)


def test_missing_files(load, tmp_path, vectors):
    load()
    (tmp_path / "own_test.tsv").unlink()
    missing = f"there is no {tmp_path / 'own_test.tsv'}$"
    with pytest.raises(ValueError, match=missing):
        load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)
    for name in (f"tsv:{tmp_path}", f"tsv:{tmp_path / 'none.tsv'}"):
        with pytest.raises(ValueError, match=r"there is no .*_train\.tsv and no .*_test\.tsv$"):
            load_dataset(name, word_vectors=vectors)


def test_missing_word_vectors(load, tmp_path, vectors):
    load()
    vectors.unlink()
    with pytest.raises(ValueError, match=r"word_vectors .*vectors.txt is not a file$"):
        load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)


def test_a_class_of_one_text_cannot_be_split(tmp_path, vectors):
    write_lines(tmp_path / "all.tsv", TRAIN)
    with pytest.raises(
        ValueError, match=r"at least 2 texts, one to train .* got 1 of 3 classes with one: bash$"
    ):
        load_dataset(f"tsv:{tmp_path / 'all.tsv'}", word_vectors=vectors)


POST = """<p>How are the <b>beans</b> made?
<a href="http://the.how">the</a></p>

<pre><code>vector&lt;int&gt; made; // "the" &amp;amp; Map<String></code></pre>"""


@pytest.fixture
def load_posts(tmp_path, vectors):
    """Writes rows of a CSV file and loads it, by name or by path."""

    def write_and_load(rows, header=("post", "tags"), name=None):
        path = tmp_path / "stack-overflow-data.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows] if header else rows)
        return load_dataset(name or f"csv:{path}", data_dir=tmp_path, word_vectors=vectors)

    return write_and_load


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_html_is_taken_out_and_code_kept(load_posts):
    plain = "How are the beans made? the vector<int> made; // the & amp Map<String>"
    rows = [(POST, "java"), (plain, "java"), ("the", "c#"), ("how", "c#")] * 3
    dataset = load_posts(rows)
    texts = dict(zip(dataset.train.ids, dataset.train.inputs.tolist(), strict=True))
    texts |= dict(zip(dataset.test.ids, dataset.test.inputs.tolist(), strict=True))
    assert texts[0] == texts[1] == texts[4]
    words = split_words(plain)
    assert [id_ > 0 for id_ in texts[0]] == [True] * len(words)
    assert len(set(texts[0])) == len(set(words))
    assert dataset.class_names == ("c#", "java")


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_a_fortieth_of_each_class_is_tested_on(load_posts):
    rows = [("the", "ab"[number % 2]) for number in range(400)] + [("how", "c")] * 3
    dataset = load_posts(rows, name="stackoverflow")
    assert dataset.name == "stackoverflow"
    assert np.bincount(dataset.train.labels).tolist() == [195, 195, 2]
    assert np.bincount(dataset.test.labels).tolist() == [5, 5, 1]
    assert sorted([*dataset.train.ids, *dataset.test.ids]) == list(range(403))


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_the_papers_number_of_posts_gives_the_papers_splits(load_posts):
    tags = [f"tag{number}" for number in range(20)]
    dataset = load_posts([("the", tag) for tag in tags for _ in range(2000)])
    assert (len(dataset.train), len(dataset.test)) == (39_000, 1_000)
    assert set(Counter(dataset.test.labels.tolist()).values()) == {50}


def test_other_columns_and_rows_without_a_tag_are_left_out(load_posts):
    rows = [(0, "a", "the"), (1, " ", ""), (2, "b", "how"), (3, "a", "are"), (4, "b ", "made")]
    dataset = load_posts(rows, header=("", "tags", "post"))
    assert sorted([*dataset.train.ids, *dataset.test.ids]) == [0, 2, 3, 4]
    assert dataset.class_names == ("a", "b")
    assert dataset.notes[-1] == "1 rows without a label left out of stack-overflow-data.csv"


@pytest.mark.parametrize(
    ("header", "rows", "problem"),
    [
        (("text", "tags"), [], "text must be the name or number of a column, got 'post'"),
        (("text", "tags"), [], "has 2, the columns text, tags; text=COLUMN names another"),
        (("post", "post", "tags"), [], "has several such, the columns post, post, tags; text=COL"),
        (("post;tags",), [], "has 1, the columns post;tags; text=COLUMN names another; is delimit"),
        (None, [], "stack-overflow-data.csv is empty"),
        (("post", "tags"), [], "has no text with a label"),
        (("post", "tags"), [("the\nhow", "a", "b")], "line 3 must have 2 values, as the first row"),
        (("post", "tags"), [("the",)], "line 2 must have 2 values, as the first row has, got 1"),
        (("post", "tags"), [("<p> </p>", "a")], "line 2 has an empty text"),
        (
            ("post", "tags"),
            [("a", f"the {number} {'how ' * 2000}") for number in range(50)],
            "stack-overflow-data.csv has 50 different values in 50 rows, such as 'the 0 how how ",
        ),
        (("post", "tags"), [("the", "a")] * 3, "at least two classes, got only 'a'"),
    ],
)
def test_wrong_rows(load_posts, tmp_path, header, rows, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        load_posts(rows, header)
    assert str(caught.value).startswith(f"csv:{tmp_path / 'stack-overflow-data.csv'}: ")
    assert "\n" not in str(caught.value)


def test_an_open_quote(tmp_path, vectors):
    (tmp_path / "own.csv").write_text('post,tags\n"the,a\nhow,b\n')
    with pytest.raises(ValueError, match=r"own\.csv, after line 1: unexpected end of data"):
        load_dataset(f"csv:{tmp_path / 'own.csv'}", word_vectors=vectors)


def test_missing_posts(tmp_path, vectors):
    with pytest.raises(ValueError, match=r"no file .*stack-overflow-data.csv; download it from ht"):
        load_dataset("stackoverflow", data_dir=tmp_path, word_vectors=vectors)
    with pytest.raises(
        ValueError, match=r"none.csv is no file, and there is no .*none.csv_train.csv"
    ):
        load_dataset(f"csv:{tmp_path / 'none.csv'}", word_vectors=vectors)


# Different words, so that no text of one split is in the other.
WORDS = ["how", "the", "made", "are", "how the", "made are", "how made", "the are", "how are", "x"]
ROWS = [(f"{number}", "ab"[number % 2], word) for number, word in enumerate(WORDS)]


@pytest.fixture
def load_file(tmp_path, vectors):
    """Writes text to a file and loads it by a name with options."""

    def write_and_load(kind, text, options, encoding="utf-8"):
        path = tmp_path / f"own.{kind}"
        path.write_bytes(text.encode(encoding))
        return load_dataset(f"{kind}:{path}?{options}", word_vectors=vectors)

    return write_and_load


def texts_by_id(dataset):
    """What stands in the file: for each id the label and the words."""
    return {
        int(id_): (dataset.class_names[label], " ".join(dataset.words[i] for i in row if i))
        for split in dataset.splits.values()
        for id_, label, row in zip(split.ids, split.labels, split.inputs, strict=True)
    }


def written(rows, delimiter, header=()):
    return "".join(f"{delimiter.join(row)}\n" for row in [*([header] if header else []), *rows])


HEADER = ("number", "class", "what is said")


@pytest.mark.parametrize(
    ("kind", "text", "options"),
    [
        ("csv", written(ROWS, ",", HEADER), "text=what is said&label=class"),
        ("csv", written(ROWS, ",", HEADER), "text=what%20is%20said&label=2"),
        ("csv", written(ROWS, ","), "text=3&label=2&header=0"),
        ("csv", written(ROWS, ";", HEADER), "text=3&label=class&delimiter=;"),
        ("csv", written(ROWS, "\t", HEADER), "text=3&label=2&delimiter=tab"),
        ("tsv", written(ROWS, "\t", HEADER), "text=what is said&label=class&header=1"),
        ("tsv", written(ROWS, "\t"), "text=3&label=2"),
        ("tsv", written(ROWS, "|"), "text=3&label=2&delimiter=|"),
    ],
)
def test_columns_by_name_or_number_and_delimiters(load_file, kind, text, options):
    expected = {int(n): (label, words.replace("x", "\u2026")) for n, label, words in ROWS}
    assert texts_by_id(load_file(kind, text, options)) == expected


def test_the_share_that_is_tested_on(load_file):
    text = written(ROWS, "\t", HEADER)
    for share, tested in {"0.2": 2, "0.4": 4, ".5": 4, "0.01": 2}.items():
        dataset = load_file("tsv", text, f"text=3&label=2&header=1&test={share}")
        assert len(dataset.test) == tested


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_encodings(load_file, encoding):
    text = written([(label, f"{words} über") for _, label, words in ROWS], "\t")
    dataset = load_file("tsv", text, f"encoding={encoding}", encoding)
    assert "über" in dataset.words
    if encoding != "latin-1":
        return
    with pytest.raises(ValueError, match=r"must be UTF-8, and line 1 is not; encoding=latin-1 or"):
        load_file("tsv", text, "", encoding)
    with pytest.raises(ValueError, match=r"must be UTF-8, and line 1 is not; encoding=utf-16 or"):
        load_file("tsv", text, "", "utf-16")


def test_true_labels_of_the_train_texts(load_file):
    rows = [(*row, "ba"[number // 5]) for number, row in enumerate(ROWS)]
    dataset = load_file("csv", written(rows, ","), "header=0&text=3&label=2&true_label=4")
    true_labels = [dataset.class_names[label] for label in dataset.train.true_labels]
    assert true_labels == ["ba"[id_ // 5] for id_ in dataset.train.ids]
    assert dataset.test.true_labels is None


def test_a_header_must_be_told(load_file):
    text = written([row[1:] for row in ROWS], "\t", ("label", "text"))
    with pytest.raises(ValueError, match=r"with the label 'label' that no other row has, looks li"):
        load_file("tsv", text, "")
    assert len(texts_by_id(load_file("tsv", text, "header=1"))) == 10
    with pytest.raises(ValueError, match=r"got 1 of 3 classes with one: label$"):
        load_file("tsv", text, "header=0")


def test_broken_rows_are_left_out_where_that_is_asked_for(load_file):
    text = written([row[1:] for row in ROWS], "\t") + "a\nb\t \na\thow\tthe\n\tthe\n"
    with pytest.raises(
        ValueError, match=r"line 11 must have 2 values, .* skip_broken=1 leaves such"
    ):
        load_file("tsv", text, "")
    with pytest.warns(
        UserWarning, match=r"left 3 broken rows of own.tsv out, the first in line 11$"
    ):
        dataset = load_file("tsv", text, "skip_broken=1")
    assert sorted(texts_by_id(dataset)) == list(range(10))
    assert dataset.notes[-2:] == (
        "1 rows without a label left out of own.tsv",
        "3 broken rows left out of own.tsv",
    )


def test_texts_of_any_length(load_posts):
    rows = [("how " * 50_000 + word, "ab"[number % 2]) for number, word in enumerate(WORDS)]
    before = csv.field_size_limit()
    with pytest.warns(UserWarning, match="are train examples, too"):
        assert load_posts(rows).input_shape == (200,)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tsv:x?lable=2", "options must be among text, label, true_label, delimiter, encoding, "),
        ("tsv:x?lable=2", "got 'lable', is 'label' meant?"),
        ("csv:x?delimiter=;;", "delimiter must be one character or tab, got ';;'"),
        ("csv:x?delimiter=%22", "delimiter must be one character, got '\"'"),
        ("csv:x?encoding=utf-9", "encoding must be one that Python has, such as utf-8, utf-16, la"),
        ("csv:x?header=yes", "header must be 0 or 1, got 'yes'"),
        ("csv:x?test=1", "test must be a share between 0 and 1, got '1'"),
        ("csv:x?test=0.0", "test must be a share between 0 and 1, got 0.0"),
        ("csv:x?text=2&label=2", "text and label must be different columns, got '2' twice"),
        ("csv:?text=2", "no path is named before the options"),
    ],
)
def test_wrong_options(name, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        check_dataset_name(name)
    assert str(caught.value).startswith(f"{name}: ")


def test_from_csv(tmp_path, vectors):
    path = tmp_path / "own.csv"
    path.write_text(written(ROWS, ";", HEADER))
    arguments = {"label": "class", "delimiter": ";", "test": 0.4, "word_vectors": vectors}
    dataset = Dataset.from_csv(path, text="what is said", **arguments)
    assert dataset.name == f"csv:{path}"
    assert len(dataset.test) == 4
    np.testing.assert_array_equal(
        Dataset.from_csv(str(path), text=3, **arguments).train.inputs, dataset.train.inputs
    )
    with pytest.raises(ValueError, match=r"text must be the name or number of a column, got '4'"):
        Dataset.from_csv(path, text=4, **arguments)


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_scripts_without_blanks_are_told_and_can_be_split_into_characters(load_file, vectors):
    vectors.write_text(GLOVE + "本 7 8\n")
    rows = [
        ("ab"[number % 2], f"日本{'一二三四五六七八九十'[number]}本 how") for number in range(10)
    ]
    text = written(rows, "\t")
    with (
        pytest.warns(
            UserWarning, match=r"50% of the characters are of scripts without blanks betw"
        ),
        pytest.warns(UserWarning, match=r"50% of the words of the train texts have no vector"),
    ):
        dataset = load_file("tsv", text, "")
    assert "unknown: 50.0% of train words" in dataset.summary()
    dataset = load_file("tsv", text, "characters=1&test=0.3")
    assert "日" in dataset.words
    assert dataset.input_shape == (7,)


@pytest.fixture(scope="module", params=["trec", "stackoverflow20_titles"])
def real(request, real_data):
    folder = real_data / "text"
    with pytest.warns(UserWarning, match="are train examples, too"):
        dataset = load_dataset(
            f"tsv:{folder / request.param}", word_vectors=folder / "glove.50d.txt"
        )
    return request.param, dataset


def read(path):
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [line.split("\t", 1) for line in lines]


def test_real_texts(real, real_data):
    name, dataset = real
    sizes = {"trec": (5452, 500, 6, 16), "stackoverflow20_titles": (16_000, 4_000, 20, 15)}[name]
    assert (len(dataset.train), len(dataset.test), dataset.num_classes) == sizes[:3]
    assert dataset.input_shape == (sizes[3],)
    vectors = {
        line.split(" ", 1)[0]: np.array(line.split(" ")[1:], np.float32)
        for line in read_lines(real_data / "text" / "glove.50d.txt")
    }
    ids = {}
    for split_name, split in dataset.splits.items():
        texts = read(real_data / "text" / f"{name}_{split_name}.tsv")
        assert [dataset.class_names[label] for label in split.labels] == [t[0] for t in texts]
        for row, (_, text) in zip(split.inputs[::7], texts[::7], strict=True):
            words = split_words(text)[: sizes[3]]
            assert (row[len(words) :] == 0).all()
            for id_, word in zip(row, words, strict=False):
                assert ids.setdefault(word, id_) == id_ > 0
                if word in vectors:
                    np.testing.assert_array_equal(dataset.word_vectors[id_], vectors[word])
    assert len(ids) > 2000


def read_lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def bags(dataset, split):
    """How often each text has each id, `[M, V]`."""
    rows, positions = np.nonzero(split.inputs)
    columns = split.inputs[rows, positions]
    shape = (len(split), len(dataset.word_vectors))
    # LinearSVC takes no wider numbers of rows.
    return csr_array((np.ones(len(rows)), (rows.astype(np.int32), columns)), shape=shape)


def test_a_linear_classifier_of_the_ids_is_as_good_as_one_of_the_texts(real):
    name, dataset = real
    weigh = TfidfTransformer(sublinear_tf=True).fit(bags(dataset, dataset.train))
    train, test = (weigh.transform(bags(dataset, split)) for split in dataset.splits.values())
    classifier = LinearSVC(C=0.1).fit(train, dataset.train.labels)
    assert classifier.score(test, dataset.test.labels) > {"trec": 0.85}.get(name, 0.87)
