"""The state of training in a folder, from which it goes on exactly."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..zoo.errors import RunError
from .sealed import is_sealed, seal, unseal

__all__ = ["CHECKPOINT", "drop_checkpoint", "has_checkpoint", "load_checkpoint", "save_checkpoint"]

CHECKPOINT = "checkpoint"
_TENSORS, _NUMBERS = "state.safetensors", "state.json"


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], numbers: Any) -> None:  # noqa: ANN401
    """Write a state, in place of the one before, which stays whole until this one is.

    Args:
        folder: Folder of the run.
        tensors: Tensors by name.
        numbers: JSON values.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    from safetensors.torch import save_file

    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    seal(
        folder / CHECKPOINT,
        {
            _TENSORS: lambda path: save_file(whole, path),
            _NUMBERS: lambda path: path.write_text(json.dumps(numbers)),
        },
    )


def drop_checkpoint(folder: Path) -> None:
    """Remove the state of a training that has finished."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)


def has_checkpoint(folder: Path) -> bool:
    """Tell whether training left a state in the folder of a run."""
    return is_sealed(folder / CHECKPOINT)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], Any]:
    """Read a state back.

    Raises:
        RunError: There is none, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not has_checkpoint(folder):
        raise RunError(
            f"{folder} holds no checkpoint: training had not begun, or has lost its files. Train "
            "again with overwrite=True."
        )
    paths = unseal(folder / CHECKPOINT)
    try:
        return load_file(paths[_TENSORS]), json.loads(paths[_NUMBERS].read_text())
    except (KeyError, ValueError, OSError, SafetensorError) as error:
        raise RunError(f"The checkpoint in {folder} is damaged: {error}. Train again.") from error
