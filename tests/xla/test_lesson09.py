"""Lesson 09's own cells on an XLA device, through the launcher's TPU branch."""

import json
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat: make test-xla")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient: make test-xla")
pytest.importorskip("ipykernel", reason="needs ipykernel: make test-xla")

LESSON = Path(__file__).parents[2] / "notebooks" / "09_train_contextnet.ipynb"

# Before the first training: compiling is slow on a CPU. Two blocks of eight, two shapes of batches.
SMALLER = """
config.encoder.blocks = config.encoder.blocks[:2]
config.decoding.head = "ctc"
digits = dict.fromkeys(digits, digits["train"].subset(first=2))
"""

# before the last cell, which deletes the runs: what only the notebook's process can say
WITNESS = """
import torch_xla
print(json.dumps({
    "process has the device": torch_xla._XLAC._xla_runtime_is_initialized(),
    "files": {run.name: [path.name for path in run.glob("checkpoints/*/*")] for run in runs.iterdir()},
    "losses": [point["loss"] for point in history if "loss" in point],
    "heard": recognizer.transcribe(asrlib.cut_audio(cut), cut.sampling_rate).text,
}))
"""


@pytest.fixture(scope="module")
def executed():
    """The lesson's code cells, executed in a kernel."""
    notebook = nbformat.read(LESSON, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.update(outputs=[], execution_count=None)
    first = next(n for n, cell in enumerate(cells) if "notebook_launcher(" in cell.source)
    smaller, witness = (nbformat.v4.new_code_cell(source) for source in (SMALLER, WITNESS))
    notebook.cells = [*cells[:first], smaller, *cells[first:-1], witness, cells[-1]]
    # accelerate takes its TPU branch on Colab and Kaggle only; XLA computes on the CPU all the same
    elsewhere = {"KAGGLE_KERNEL_RUN_TYPE": "stand-in", "TPU_NAME": "stand-in", "PJRT_DEVICE": "CPU"}
    client = nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(LESSON.parent)}}
    )
    client.execute(env=os.environ | elsewhere | {"LESSON_STEPS": "4", "OMP_NUM_THREADS": "2"})
    return {cell.id: cell for cell in cells} | {"witness": witness}


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_each_training_forks_and_leaves_the_device_to_the_next(executed):
    launched = [cell for cell in executed.values() if "notebook_launcher(" in cell.source]
    assert len(launched) == 3
    for cell in launched:
        runs = cell.source.count("notebook_launcher(")
        assert printed(cell).count("Launching a training on TPU cores.") == runs
    witness = json.loads(printed(executed["witness"]))
    assert not witness["process has the device"]
    # in this form only a run on XLA keeps its weights
    assert all("pytorch_model.bin" in files for files in witness["files"].values()), witness["files"]
    assert set(witness["files"]) == {"digits", "whole", "halves"}


def test_what_was_trained_is_read_back_and_transcribes(executed):
    witness = json.loads(printed(executed["witness"]))
    assert witness["losses"] and all(0 < loss < 1000 for loss in witness["losses"])
    assert set(witness["heard"].split()) <= set("zero one two three four five six seven eight nine".split())


def test_resumed_in_another_process_it_ends_the_same(executed):
    assert "every weight the same: True" in printed(executed["cell-30"])
