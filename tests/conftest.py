"""What tests share: strictness, fake devices, real data, and the binaries as a user runs them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

# Eight CPU devices; before anything imports JAX.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
# Shapes that JAX would make fit are mistakes. Types cannot be as strict everywhere, because Flax
# promotes those of half precision; tests/ops is. NaNs are no mistakes, since diverged members are
# tested, and looking for leaked tracers compiles every program again at each call.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# A program of a test runs once or twice, so that optimising it takes longer than it saves. Started
# binaries compile as they do for a user.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# Most of the time goes into compiling, so that all processes of a session share their programs,
# however fast these were compiled. Workers of pytest-xdist inherit the folder.
os.environ["XDG_CACHE_HOME"] = (
    os.environ["XDG_CACHE_HOME"]
    if "PYTEST_XDIST_WORKER" in os.environ
    else tempfile.mkdtemp(prefix="ensemble_jax_tests_")
)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", f"{os.environ['XDG_CACHE_HOME']}/ensemble_jax/compiled"
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# What XLA compiles loops with takes twice as long as what it had before, which jaxlib 0.10 still
# has. The flags are read when there are devices, and hold from then on; started processes and what
# is written of runs are not to know of them.
if (
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
    and "XLA_FLAGS" not in os.environ
    and version("jaxlib").startswith("0.10.")
):
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
    import jax

    jax.devices()
    del os.environ["XLA_FLAGS"]

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.data import Probe, Split
from ensemble_jax.extent import ExtentRecord, ProbeRecord, SplitRecord
from ensemble_jax.machine import num_cores
from ensemble_jax.runs import (
    DataSummary,
    Manifest,
    RunWriter,
    pack_correct,
)

ROOT = Path(__file__).parent.parent
USER_CACHE = Path(os.environ["XDG_CACHE_HOME"])
# A worker takes about 1.5 GB, and more of them than this wait for the longest tests.
MOST_WORKERS = 8


def pytest_xdist_auto_num_workers() -> int:
    """The cores that this process may use, not those of the machine."""
    return min(num_cores(), MOST_WORKERS)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the session's processes shared, where no other session's process started this."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(USER_CACHE, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """A process that keeps the programs of all modules grows to many gigabytes."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says how to provide it."""
    folder = Path(os.environ.get("ENSEMBLE_JAX_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}; set ENSEMBLE_JAX_TEST_DATA to the folder that has it"
        )
    return folder


def _feature(python_class: str, **content: object) -> dict[str, object]:
    return {"pythonClassName": f"tensorflow_datasets.core.features.{python_class}", **content}


@pytest.fixture(scope="session")
def write_prepared() -> Callable[..., Path]:
    """A function that writes a set as tensorflow-datasets would, and returns its folder."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    def write(
        data_dir: Path,
        name: str,
        splits: Mapping[str, Sequence[Mapping[str, bytes | int]]],
        class_names: Sequence[str],
        *,
        image_shape: Sequence[int],
        version: str,
        num_shards: int = 1,
    ) -> Path:
        """Examples have an `image` (bytes of a file), a `label` and texts; -1 is any size."""
        folder = data_dir / name / version
        folder.mkdir(parents=True)
        described = []
        for split, examples in splits.items():
            # Shards differ by one example at most, the first ones being larger.
            size, larger = divmod(len(examples), num_shards)
            lengths = [size + (shard < larger) for shard in range(num_shards)]
            rest = iter(examples)
            for shard, length in enumerate(lengths):
                end = f"{shard:05d}-of-{num_shards:05d}"
                path = folder / f"{name}-{split}.array_record-{end}"
                writer = ArrayRecordWriter(str(path), "group_size:1")
                for _ in range(length):
                    record = tf_example_pb2.Example()
                    for feature, value in next(rest).items():
                        values = record.features.feature[feature]
                        if isinstance(value, int):
                            values.int64_list.value.append(value)
                        else:
                            values.bytes_list.value.append(value)
                    writer.write(record.SerializeToString())
                writer.close()
            described.append(
                {
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                    "name": split,
                    "numBytes": "1",
                    "shardLengths": list(map(str, lengths)),
                }
            )
        features = {feature: _feature("text_feature.Text", text={}) for feature in examples[0]}
        features["image"] = _feature(
            "image_feature.Image",
            image={"dtype": "uint8", "shape": {"dimensions": list(map(str, image_shape))}},
        )
        features["label"] = _feature(
            "class_label_feature.ClassLabel", classLabel={"numClasses": str(len(class_names))}
        )
        contents = {
            "features.json": _feature(
                "features_dict.FeaturesDict", featuresDict={"features": features}
            ),
            "dataset_info.json": {
                "fileFormat": "array_record",
                "name": name,
                "splits": described,
                "version": version,
            },
        }
        for file, content in contents.items():
            (folder / file).write_text(json.dumps(content))
        (folder / "label.labels.txt").write_text("\n".join(class_names))
        return folder

    return write


@pytest.fixture(scope="session")
def write_imagenet(write_prepared) -> Callable[[Path], Path]:
    """A function that writes 45 and 13 photographs of three classes as ImageNet is prepared.

    JPEG files of many sizes, of which one is grey and one in cyan, magenta, yellow and black.
    """
    import io

    import PIL.Image

    modes = {3: "L", 5: "CMYK"}

    def encode(rng, number, label) -> bytes:
        height, width = rng.integers(40, 90, 2)
        coarse = rng.integers(0, 120, (4, 4, 3)) + 60 * (np.arange(3) == label)
        image = PIL.Image.fromarray(coarse.astype(np.uint8)).resize((width, height))
        file = io.BytesIO()
        image.convert(modes.get(number, "RGB")).save(file, "JPEG")
        return file.getvalue()

    def write(data_dir: Path) -> Path:
        rng = np.random.default_rng(0)
        class_names = ("n01440764", "n01443537", "n01484850")
        splits = {}
        for split, size in {"train": 45, "validation": 13}.items():
            labels = rng.integers(0, 3, size).tolist()
            splits[split] = [
                {
                    "image": encode(rng, number, label),
                    "label": label,
                    "file_name": f"{class_names[label]}_{number}.JPEG".encode(),
                }
                for number, label in enumerate(labels)
            ]
        return write_prepared(
            data_dir,
            "imagenet2012",
            splits,
            class_names,
            image_shape=(-1, -1, 3),
            version="5.1.0",
            num_shards=2,
        )

    return write


# How long a process may take on a busy machine before a test gives up.
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Answer:
    """What a process answered, and what it had imported where that is known."""

    returncode: int
    stdout: str
    stderr: str
    modules: frozenset[str] | None

    @property
    def error(self) -> str:
        """What is on stderr, which must be one line that says what is wrong."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("error: ")
        return lines[0]


class Zygote:
    """A process that forks others, which saves each of them the imports."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str]) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, ROOT / "tests" / "zygote.py", str(other.fileno()), *modules]
            self._process = subprocess.Popen(command, env=environment, pass_fds=[other.fileno()])

    def ask(self, descriptors: Sequence[int] = (), **request: object) -> int | None:
        """What is answered to a request."""
        socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
        return json.loads(self._socket.recv(1 << 16))

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


class Forked:
    """A process that a zygote has forked, with the methods of Popen."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote, self._pid = zygote, pid
        self._returncode = None

    def poll(self) -> int | None:
        if self._returncode is None:
            self._returncode = self._zygote.ask(poll=self._pid)
        return self._returncode

    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self._pid} has not ended")
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Process:
    """A binary at work; `begin` starts it with the files for its stdout, stderr and modules."""

    def __init__(self, begin: Callable[[list[int]], "Forked | subprocess.Popen"]) -> None:
        # Files, because a pipe that nobody reads stops the process when it is full; `wait` closes
        # them.
        self._files = [TemporaryFile() for _ in range(3)]  # noqa: SIM115
        self._process = begin([file.fileno() for file in self._files])

    def wait(self) -> Answer:
        """What the process answers when it ends."""
        try:
            code = self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode())
            file.close()
        stdout, stderr, modules = texts
        return Answer(code, stdout, stderr, frozenset(modules.split()) if modules else None)

    def send(self, number: signal.Signals, condition: Callable[[], bool]) -> None:
        """Send a signal as soon as the condition holds, while the process is still at work."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._process.poll() is None and not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        self._process.send_signal(number)

    def stop(self, number: signal.Signals, condition: Callable[[], bool]) -> Answer:
        """Send a signal as soon as the condition holds, and wait for what the process answers."""
        try:
            self.send(number, condition)
        except BaseException:  # a test that fails here leaves no process behind
            self._process.kill()
            self.wait()
            raise
        return self.wait()


# What a binary imports before it knows what to do, and what reports are made with. That it takes no
# JAX is asked of what is forked, so nothing here may import it.
WITHOUT_JAX = (
    "ensemble_jax.cli.train", "ensemble_jax.cli.sweep", "ensemble_jax.report.run_report",
)  # fmt: skip
TRAINING = (*WITHOUT_JAX, "ensemble_jax.trainer", "ensemble_jax.training", "jax", "optax")


@dataclass(frozen=True)
class Binaries:
    """Starts the binaries in a folder of their own, with the cache of the whole session."""

    folder: Path
    cache: Path = USER_CACHE
    zygotes: dict[tuple[str, ...], Zygote] = field(default_factory=dict)

    def start(
        self, name, *arguments, prefix=(), env=None, jax=True, before="", fresh=False
    ) -> Process:
        """Start `python -m experiments.NAME`.

        Args:
            name: the verb.
            arguments: its command line.
            prefix: a command that starts it.
            env: variables beside those that are usual.
            jax: whether it may have JAX from the start. Without it the answer says what is
                imported.
            before: Python that it runs first, where it is not fresh.
            fresh: whether to start an interpreter of its own, as a user does; with a prefix always.
        """
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JAX_", "ENSEMBLE_JAX_"))
        }
        environment |= {
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.cache),
            "JAX_PLATFORMS": "cpu",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        given = list(map(str, arguments))
        module = f"experiments.{name}"
        if fresh or prefix:
            command = [*prefix, sys.executable, "-m", module, *given]
            return Process(lambda files: self._run(command, environment | (env or {}), files))
        modules = TRAINING if jax and name in ("train", "sweep", "audit") else WITHOUT_JAX
        if modules not in self.zygotes:
            self.zygotes[modules] = Zygote(environment, modules)
        zygote = self.zygotes[modules]

        def fork(files):
            pid = zygote.ask(
                files,
                module=module,
                arguments=given,
                folder=str(self.folder),
                environment=environment | (env or {}),
                before=before,
            )
            return Forked(zygote, pid)

        return Process(fork)

    def _run(self, command, environment, files) -> subprocess.Popen:
        # Children inherit that SIGINT is ignored, which it is where a shell runs the tests with &.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        stdout, stderr, _ = files
        try:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=stdout, stderr=stderr
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def run(self, name, *arguments, **options) -> Answer:
        """Start a binary and wait for what it answers."""
        return self.start(name, *arguments, **options).wait()


@pytest.fixture(scope="session")
def binaries(tmp_path_factory) -> Iterator[Binaries]:
    binaries = Binaries(tmp_path_factory.mktemp("experiments"))
    yield binaries
    for zygote in binaries.zygotes.values():
        zygote.close()


def make_toy_arrays() -> dict[str, np.ndarray]:
    """Three classes of 8x8 noise that differ in brightness; sizes that no byte of bits divides."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, size in {"train": 60, "test": 30}.items():
        labels = np.arange(size) % 3
        images = rng.normal(100 + 30 * labels[:, None, None, None], 40, (size, 8, 8, 1))
        arrays[f"{split}_images"] = images.clip(0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = labels
    return arrays


@pytest.fixture(scope="session")
def toy_arrays():
    return make_toy_arrays


@pytest.fixture(scope="session")
def toy_set(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sets") / "toy.npz"
    np.savez(path, **make_toy_arrays())
    return path


@pytest.fixture(scope="session")
def toy_job(toy_set) -> tuple[str, ...]:
    """A job of a few seconds and 10 extents, member after member."""
    return (
        f"--config.dataset=npz:{toy_set}",
        "--config.model=fully_connected",
        "--config.num_members=4",
        "--config.plan=default,num_devices=1",
        "--config.batch_size=25",
        f"--config.extents={','.join(map(str, range(10)))}",
    )


@pytest.fixture(scope="session")
def undisturbed(binaries, toy_job, tmp_path_factory) -> Path:
    """The run directory of that job, trained without interruption; only to be read."""
    directory = tmp_path_factory.mktemp("runs") / "undisturbed"
    answer = binaries.run("train", *toy_job, f"--workdir={directory}", fresh=True)
    assert answer.returncode == 0, answer.stderr
    return directory


@pytest.fixture(scope="session")
def write_run():
    """A function that writes a run whose members predict what is given, for scores by hand."""

    def write(directory: Path, labels, predictions, extents, diverged=(), probes=None, **config):
        """Labels `[M]` and predictions `[E, N, M]` by split, predictions also by probe."""
        probes = probes or {}
        splits, num_members = {}, len(predictions["train"][0])
        for split, of_split in labels.items():
            size = len(of_split)
            splits[split] = Split(np.zeros((size, 1)), np.array(of_split), np.arange(size))
        data = DataSummary(
            name="hand",
            class_names=("one", "two", "three"),
            split_sizes={split: len(of_split) for split, of_split in labels.items()},
            input_shape=(1,),
            probe_sizes={name: np.shape(of)[-1] for name, of in probes.items()},
        )
        config = {"model": "st_vgg", "dataset": "hand"} | config
        manifest = Manifest(config=config, data=data, members=range(num_members), extents=extents)
        writer = RunWriter.create(
            directory,
            manifest,
            splits,
            probes={
                name: Probe(np.zeros((size, 1)), np.arange(size))
                for name, size in data.probe_sizes.items()
            },
        )
        diverged_at = np.where(np.isin(np.arange(num_members), diverged), 1, -1)
        for row, extent in enumerate(extents):
            records = {}
            for split, of_split in labels.items():
                predicted = np.asarray(predictions[split][row], np.uint8)
                correct = predicted == np.array(of_split)
                losses = np.zeros(num_members, np.float32)
                accuracy = correct.mean(axis=1, dtype=np.float32)
                records[split] = SplitRecord(pack_correct(correct), predicted, losses, accuracy)
            of_probes = {
                name: ProbeRecord(np.asarray(of[row], np.uint8)) for name, of in probes.items()
            }
            record = ExtentRecord(extent, records, diverged_at.astype(np.int32), np.nan, of_probes)
            writer.write_extent(record)
        return load_run(directory)

    return write


@pytest.fixture(scope="session")
def in_namespace():
    """A function that makes the prefix of a command whose mounts nobody else sees.

    It takes what to mount, for bash, and what is done then, with the command as "$@"; it skips
    where nothing can be mounted.
    """

    def prefix(mount: str, then: str = 'exec "$@"') -> tuple[str, ...]:
        namespace = ("unshare", "--mount", "--map-root-user")
        possible = (
            shutil.which("unshare")
            and not subprocess.run(
                [*namespace, "bash", "-c", mount], capture_output=True, check=False
            ).returncode
        )
        if not possible:
            pytest.skip("nothing can be mounted here: it takes unshare and user namespaces")
        return (*namespace, "bash", "-c", f"{mount} && {then}", "bash")

    return prefix


@pytest.fixture(scope="session")
def contents():
    """A function that reads every file below a folder, by its path."""
    return lambda directory: {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def assert_same_records():
    """A function that compares two runs to the bit, but for whose they are and their speed."""

    def compare(one: Path, two: Path) -> None:
        names = {path.name for path in (one / "records").iterdir()}
        assert names == {path.name for path in (two / "records").iterdir()}
        for name in names:
            with np.load(one / "records" / name) as a, np.load(two / "records" / name) as b:
                assert set(a) == set(b)
                for array in set(a) - {"train_images_per_second", "identity"}:
                    assert a[array].tobytes() == b[array].tobytes(), (name, array)

    return compare
