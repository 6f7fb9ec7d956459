"""A folder of arrays as several series: one ``.npy`` file a trace."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables import Series


def read_traces(folder: Path | str, target: str, features: Sequence[str] = ()) -> Series:
    """Read traces of one system, evenly sampled, such as those of a simulated robot.

    Args:
        folder: holds files ``.npy``, each ``(T, C)`` with the same C columns.
        target: the number of the column to predict, from 0 on.
        features: numbers of further columns that the model sees, or ``["all"]``.

    Returns:
        A series for each file, in the order of their names; columns are named by their numbers.

    Raises:
        TorchliquidError: no such folder, no such file in it, arrays of other shapes, numbers that
            are not finite, a column that there is not.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise TorchliquidError(f"{folder} holds no file .npy: give a folder of traces")
    traces = [_trace(path) for path in files]
    width = traces[0].shape[1]
    for path, trace in zip(files, traces, strict=True):
        if trace.shape[1] != width:
            raise TorchliquidError(
                f"{path} has {trace.shape[1]} columns, {files[0].name} has {width}: give traces of "
                "one system"
            )
    others = [str(k) for k in range(width) if str(k) != target]
    names = [target, *(others if list(features) == ["all"] else features)]
    for name in names:
        if name not in {str(k) for k in range(width)}:
            raise TorchliquidError(
                f"traces have no column {name!r}: give numbers from 0 to {width - 1}"
            )
    if len(set(names)) < len(names):
        raise TorchliquidError(f"columns {', '.join(names)} name one twice: name each once")
    return Series(
        name=folder.name,
        columns=tuple(names),
        values=np.concatenate(traces)[:, [int(name) for name in names]],
        series_id=np.repeat(np.arange(len(traces)), [len(trace) for trace in traces]),
        series_names=tuple(path.stem for path in files),
        series="file",
    )


def _trace(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    try:
        trace = np.load(path, allow_pickle=False)
        values = trace.astype(np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise TorchliquidError(f"{path} is no array of numbers ({error}): fix it") from error
    if values.ndim != 2 or not len(values):
        raise TorchliquidError(f"{path} has shape {values.shape}: expected (T, C)")
    if not np.isfinite(values).all():
        raise TorchliquidError(f"{path} holds numbers that are not finite: fix it")
    return values  # type: ignore[no-any-return]
