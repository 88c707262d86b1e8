"""What is compiled when it is needed: once, and without a compiler not at all."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import jax
import pytest

from ensemble_jax.ops import native, why_unavailable
from ensemble_jax.options import ConvolutionAlgorithm

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler cc")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "ensemble_jax" / "native"


def compiles(monkeypatch):
    """The list of what is compiled from now on."""
    compiled, compile_now = [], native._compiled

    def note(command):
        compiled.append(command)
        return compile_now(command)

    monkeypatch.setattr(native, "_compiled", note)
    return compiled


def assert_works(library):
    assert isinstance(library.ensemble_jax_convolve, ctypes._CFuncPtr)
    assert isinstance(library.ensemble_jax_kernel_gradient, ctypes._CFuncPtr)


@needs_compiler
def test_it_is_compiled_once_for_all_processes(cache, monkeypatch):
    compiled = compiles(monkeypatch)
    assert_works(native._load())
    kept = list(cache.iterdir())
    assert [
        re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{32}\.so", path.name) is not None for path in kept
    ] == [True]
    assert_works(native._load())
    assert len(compiled) == 1
    assert list(cache.iterdir()) == kept


@needs_compiler
def test_other_options_of_the_compiler_make_another(cache, monkeypatch):
    native._load()
    monkeypatch.setenv("CC", "cc -DSOMETHING")
    assert_works(native._load())
    assert len(list(cache.iterdir())) == 2


@needs_compiler
def test_a_processor_with_short_vectors_is_another(cache, monkeypatch):
    """The macros of the compiler tell; its name and options are the same."""
    digests = set()
    for macros in (b"#define __AVX512F__ 1", b"#define __AVX__ 1"):
        monkeypatch.setattr(native, "_run", lambda command, macros=macros: macros)
        digests.add(native._digest(["cc"]))
    assert len(digests) == 2


@needs_compiler
def test_what_cannot_be_kept_is_compiled_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compiled = compiles(monkeypatch)
    assert_works(native._load())
    assert_works(native._load())
    assert len(compiled) == 2


def cut_off(path):
    path.write_bytes(path.read_bytes()[:100])


def change_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def let_others_write(path):
    path.chmod(0o666)


def put_a_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@needs_compiler
@pytest.mark.parametrize("spoil", [cut_off, change_a_bit, let_others_write, put_a_link])
def test_what_is_not_as_it_was_kept_is_compiled_again_and_kept(cache, monkeypatch, spoil):
    native._load()
    [path] = cache.iterdir()
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)  # in place it would change what this process has loaded
    spoil(path)
    compiled = compiles(monkeypatch)
    assert_works(native._load())
    assert_works(native._load())
    assert len(compiled) == 1
    [healed] = cache.glob("*.so")
    assert healed.stat(follow_symlinks=False).st_mode & 0o777 == 0o600


@needs_compiler
def test_the_folder_is_the_users_alone(cache, monkeypatch):
    before = os.umask(0)
    try:
        cache.mkdir(parents=True, mode=0o777)
        assert_works(native._load())
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o777 == 0o700


@needs_compiler
@pytest.mark.parametrize("whose", ["another user's", "a link"])
def test_a_folder_of_another_user_is_not_used(cache, monkeypatch, whose):
    cache.parent.mkdir()
    if whose == "a link":
        (cache.parent / "elsewhere").mkdir()
        cache.symlink_to(cache.parent / "elsewhere")
    else:
        cache.mkdir()
        monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    assert_works(native._load())
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ('"', r"\$CC is no command: No closing quotation"),
        ("true", "the C compiler 'true' makes nothing"),
        ("bash -c 'echo > ${!#}' bash", "what the C compiler 'bash' makes cannot be loaded: "),
    ],
)
def test_what_is_no_compiler_is_told(cache, monkeypatch, compiler, reason):
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(native.NotCompiledError, match=f"^{reason}"):
        native._load()


def test_no_compiler(cache, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O9")
    with pytest.raises(native.NoCompilerError) as raised:
        native._load()
    assert str(raised.value) == "there is no C compiler 'no-such-compiler' on the PATH"
    assert not cache.exists()


@needs_compiler
def test_a_compiler_that_refuses_is_told_in_one_line(cache, tmp_path, monkeypatch):
    header = tmp_path / "refuses.h"
    header.write_text("#ifdef __OPTIMIZE__\nint f(void) { return undeclared; }\n#endif\n")
    monkeypatch.setenv("CC", f"cc -include {header}")
    with pytest.raises(native.NotCompiledError) as raised:
        native._load()
    assert raised.type is native.NotCompiledError  # none of those of no compiler
    assert re.fullmatch(r"the C compiler 'cc' refuses: .*error.*undeclared.*", str(raised.value))
    assert list(cache.iterdir()) == []


def test_a_compiler_that_does_not_run(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path))
    with pytest.raises(native.NotCompiledError, match="does not work: "):
        native._load()


@pytest.mark.parametrize("kind", ["gpu", "tpu"])
def test_accelerators_have_no_fused_convolutions(kind):
    reason = why_unavailable(ConvolutionAlgorithm.FUSED, kind)
    assert reason == f"they are for CPUs, not for {kind}"
    assert why_unavailable(ConvolutionAlgorithm.WINOGRAD, kind) is None


VECTORS = ["", "-mno-avx512f", "-mno-avx"] if platform.machine() == "x86_64" else [""]


@needs_compiler
@pytest.mark.parametrize("vectors", VECTORS)
def test_nothing_is_read_or_written_beyond_an_array(vectors, tmp_path):
    """Random shapes against the definition, with every access to memory checked."""
    source, program = Path(native.__file__).parent, tmp_path / "check"
    options = ["-O1", "-march=native", "-std=gnu11", *vectors.split()]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    empty = tmp_path / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    if subprocess.run(["cc", *checks, str(empty), "-o", str(program)], check=False).returncode:
        pytest.skip("the C compiler cannot check memory")
    sources = [Path(__file__).with_name("winograd_check.c"), source / "winograd.c"]
    folders = ["-I", str(source), "-I", jax.ffi.include_dir()]
    command = ["cc", *options, *checks, *folders, *map(str, sources), "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    answer = subprocess.run([program], check=False, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
