"""Every block of Python in README and guides runs, page by page, in a folder of its own."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import ensemble_jax as ej

# Large packages that a page may hand something to.
VIEWERS = ("renumics", "fiftyone", "trackio", "wandb")
ROOT = Path(__file__).parent.parent
# The README's script has a test of its own, where what it gives is looked at.
PAGES = [
    page
    for page in sorted((ROOT / "docs").glob("*.md"))
    if "```python\n" in page.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def digits_run(toy_arrays, tmp_path_factory):
    """What stands for `runs/digits`: with margins, true labels and members of subsets."""
    arrays = toy_arrays()
    truth = arrays["train_labels"].copy()
    arrays["train_labels"][:5] = (truth[:5] + 1) % 3
    data = ej.Dataset.from_arrays(
        train=(arrays["train_images"], arrays["train_labels"]),
        test=(arrays["test_images"], arrays["test_labels"]),
        train_true_labels=truth,
    )
    folder = tmp_path_factory.mktemp("guides") / "digits"
    ej.train(
        network_class(3)(),
        data,
        members=ej.members(20, learning_rate=0.01, subset_fraction=0.7),
        extents=(0, 1, 2),
        batch_size=25,
        record=("label_probability", "margin", "probabilities"),
        plan="default",
        workdir=folder,
    )
    return folder, data


def network_class(num_classes):
    """A module of one hidden layer."""
    import flax.linen as nn

    class Net(nn.Module):
        width: int = 8

        @nn.compact
        def __call__(self, x, train: bool = False):
            return nn.Dense(num_classes)(nn.relu(nn.Dense(self.width)(x.reshape(len(x), -1))))

    return Net


def names_before(page, data_of_digits):
    """What a page takes for given: a data set and a network, or a run and what is in it."""
    import jax
    import optax

    # 28x28 and 10 classes, for which the pages write their networks.
    Net = network_class(10)
    x = np.random.default_rng(0).normal(size=(140, 784)).astype(np.float32)
    y = np.arange(140) % 10
    data = ej.Dataset.from_arrays(train=(x[:110], y[:110]), test=(x[110:], y[110:]))
    given = {"np": np, "ej": ej, "Net": Net, "data": data, "x": x, "optax": optax, "jax": jax}
    if page.stem == "scores":
        run = ej.load_run("runs/digits")
        given |= {"run": run, "correct": run.correct("train"), "mask": run.train_mask}
        given["data"] = data_of_digits
        given["margin"] = run.recorded("margin", "train")
        given["wrong"] = run.labels["train"] != run.true_labels("train")
    if page.stem == "networks":
        given["run"] = ej.train(Net(), data, members=4, extents=(0, 1), plan="default")
    return given


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
# Warnings of the libraries that a page shows are theirs.
@pytest.mark.filterwarnings("default")
def test_the_python_of_a_page_runs(page, digits_run, toy_arrays, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    for package in ("equinox", "safetensors", "pyarrow"):
        if package in text.replace("parquet", "pyarrow"):
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(digits_run[0], "runs/digits")
    if page.stem == "audit":
        write_class_folders(Path("PATH"), toy_arrays())
    if page.stem == "many_hosts":
        # Several processes are tested elsewhere; here the page's call is that of a single one.
        monkeypatch.setattr("jax.distributed.initialize", lambda *_, **__: None)
        text = text.replace('"/shared/', f'"{tmp_path}/')
    namespace = names_before(page, digits_run[1])
    for block in re.findall(r"(?ms)^```python\n(.*?)^```$", text):
        if any(name in block and not find_spec(name) for name in VIEWERS):
            continue
        exec(compile(block, str(page), "exec"), namespace)


def write_class_folders(folder, arrays):
    """The toy images as files."""
    for split in ("train", "test"):
        for number, (image, label) in enumerate(
            zip(arrays[f"{split}_images"], arrays[f"{split}_labels"], strict=True)
        ):
            path = folder / split / f"class_{label}"
            path.mkdir(parents=True, exist_ok=True)
            # Enough for the batches of a network by name.
            for shift in range(3):
                moved = np.roll(image[..., 0], shift, axis=0)
                PIL.Image.fromarray(moved).save(path / f"{number}_{shift}.png")


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(ROOT / "docs/getting_started.ipynb", 4)
    stored = [[output.output_type for output in c.get("outputs", [])] for c in notebook.cells]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(
        notebook, timeout=900, coalesce_streams=True, resources={"metadata": {"path": tmp_path}}
    ).execute()
    # What is shown on the page is what a reader gets: of the same kinds, and as right.
    assert [[o.output_type for o in c.get("outputs", [])] for c in notebook.cells] == stored
    told = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    suspects, right = map(int, re.search(r"of the first (\d+) suspects (\d+) have", told).groups())
    assert right > 0.8 * suspects
    alone, together = re.search(r"a member alone ([\d.]+), all together ([\d.]+)", told).groups()
    assert 0.8 < float(alone) <= float(together)
