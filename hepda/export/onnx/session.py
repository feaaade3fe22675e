"""A file of ONNX opened in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hepda.errors import MissingExtraError


def open_session(model: Path | bytes, where: str, threads: int = 0) -> Any:
    """Open a file, or its content, on the CPU.

    Args:
        model: the file, or its content.
        where: the option that needs it, for the message.
        threads: of an operator; 0 for as many as onnxruntime chooses.

    Raises:
        MissingExtraError: onnxruntime is not installed.

    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx", where) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
