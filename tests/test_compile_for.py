# ruff: noqa: E501  (lines of a compiler)
"""What a compiler says of devices that are not there: its text is read, and it is asked itself."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compiled_costs import estimate

HLO = """HloModule jit_of_all

%scan_condition (arg: (s32[])) -> pred[] {
  %steps = s32[]{:T(128)} constant(25)
  %i = s32[] get-tuple-element(%arg), index=0
  ROOT %lt.1 = pred[] compare(%i, %steps), direction=LT
}

%scan_body (arg: (s32[])) -> (s32[]) {
  %convolution.1 = f32[8]{0} fusion(%x), calls=%f, metadata={op_name="jit/conv"}, backend_config={"estimated_cycles":"7"}
  %sort.1 = (s32[8]{0}) sort(%x), to_apply=%less
  ROOT %tuple.1 = (s32[]) tuple(%i)
}

%once_condition (arg: (s32[])) -> pred[] {
  ROOT %not.1 = pred[] fusion(%arg), calls=%g
}

%once_body (arg: (s32[])) -> (s32[]) {
  %while.1 = (s32[]) while(%tuple), condition=%scan_condition, body=%scan_body
}

%call_body (arg: (s32[])) -> (s32[]) {
  %copy.1 = f32[8]{0} copy(%x), backend_config={"estimated_cycles":"11"}
  %while.2 = (s32[]) while(%tuple), condition=%once_condition, body=%once_body
}

ENTRY %main (p: s32[1]) -> s32[] {
  %while.3 = (s32[]) while(%tuple), condition=%once_condition, body=%call_body
  %all-reduce.1 = f32[8]{0} all-reduce(%x), to_apply=%sum
  ROOT %fusion.9 = f32[8]{0} fusion(%x), calls=%h, backend_config={"estimated_cycles":"3"}
}
"""


def test_cycles_are_multiplied_by_the_rounds_of_their_loops():
    found = estimate(HLO, calls=4)
    assert found.cycles == 4 * (11 + 25 * 7) + 3
    assert found.without == {"sort": 100}
    assert found.collectives == 1
    costliest = found.costliest[0]
    assert (costliest.name, costliest.times, costliest.cycles) == ("convolution.1", 100, 700)
    assert costliest.source == "jit/conv"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU's compiler, is absent"
)
def test_the_compiler_of_a_tpu_takes_small_collections(tmp_path):
    options = ["--members=4", "--model=fully_connected,small_st_vgg", f"--output={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compile_for", *options],
        cwd=Path(__file__).parent.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "compiled.json").read_text())["architectures"]
    for of in found.values():
        assert of.get("error") is None
        assert of["epoch"]["collectives"] == of["evaluation"]["collectives"] == 0
        assert of["epoch"]["cycles"] > 25 * of["evaluation"]["cycles"] / 100 > 0
    assert "Nothing here was measured" in (tmp_path / "compiled.md").read_text()
