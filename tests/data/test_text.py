import csv
import re
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.svm import LinearSVC

from ensemble_jax.data import load_dataset
from ensemble_jax.data.words import split_words

GLOVE = "how 1 2\nthe 3 4\nmade 5 6\nare 7 8\n"

TRAIN = (
    "spring\tHow are the beans made?",
    "qt\tThe widget",
    "spring\tbeans, beans: the beans!",
    "qt\thow? Widget the\tsecond",
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


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
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
        (("spring\tthe", "no tab here"), "own_train.tsv, line 2 has no tab between label and text"),
        (("spring\tthe", "", "qt\tthe"), "line 2 has no tab"),
        (("spring\tthe", "qt\t \r"), "line 2 has an empty text"),
        (("spring\tthe", " \tthe"), "line 2 has an empty label"),
        ((), "own_train.tsv has no text"),
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
    with pytest.raises(ValueError, match=r"own_test.tsv must be UTF-8, and line 2 is not"):
        load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)


def test_missing_files(load, tmp_path, vectors):
    load()
    (tmp_path / "own_test.tsv").unlink()
    missing = f"got no {tmp_path / 'own_test.tsv'}$"
    with pytest.raises(ValueError, match=missing):
        load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)
    for name in (f"tsv:{tmp_path}", f"tsv:{tmp_path / 'none.tsv'}"):
        with pytest.raises(ValueError, match=r"got no .*_train\.tsv and no .*_test\.tsv$"):
            load_dataset(name, word_vectors=vectors)


def test_missing_word_vectors(load, tmp_path, vectors):
    load()
    vectors.unlink()
    with pytest.raises(ValueError, match=r"word_vectors .*vectors.txt is not a file$"):
        load_dataset(f"tsv:{tmp_path / 'own'}", word_vectors=vectors)


def test_a_class_of_one_text_cannot_be_split(tmp_path, vectors):
    write_lines(tmp_path / "all.tsv", TRAIN)
    with pytest.raises(ValueError, match=r"at least 2 texts, one to train .* got one of bash"):
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


@pytest.mark.parametrize(
    ("header", "rows", "problem"),
    [
        (("text", "tags"), [], "must have the columns post and tags, got text, tags"),
        (None, [], "must have the columns post and tags, got an empty file"),
        (("post", "tags"), [], "has no text"),
        (("post", "tags"), [("the\nhow", "a", "b")], "line 3: the row must have 2 values"),
        (("post", "tags"), [("the",)], "line 2: the row must have 2 values"),
        (("post", "tags"), [("<p> </p>", "a")], "line 2 has an empty post"),
        (("post", "tags"), [("the", "a")] * 3, "at least two classes, got only 'a'"),
        (("post", "tags"), [("the " * 40_000, "a")], "after line 1: field larger than field limit"),
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
    with pytest.raises(ValueError, match=r"none.csv is not a file"):
        load_dataset(f"csv:{tmp_path / 'none.csv'}", word_vectors=vectors)


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
