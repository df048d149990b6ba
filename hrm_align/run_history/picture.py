"""Draw pictures: curves of runs, a panel per metric and a line per run; and calibration. Needs matplotlib (the extra `report`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_align.errors import UserError

if TYPE_CHECKING:
    from hrm_align.evaluation.calibration import Calibration

_COLUMNS = 3  # panels beside each other
_STYLES = ("-", "--", ":")  # after ten colours, the next style of line
FORMATS = (".png", ".svg", ".pdf")
_LEGEND_WIDTH = 70  # characters of a run's name in the legend; a longer name loses its middle


def check_picture(path: Path) -> None:
    """Raise UserError unless a picture can be written to a new file of this name."""
    if path.suffix not in FORMATS:
        raise UserError(f"--png {path}: the name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    if path.exists():
        raise UserError(f"the file of --png, {path}, already exists and is not overwritten. Name a new file.")
    if not path.parent.is_dir():
        raise UserError(
            f"cannot write --png {path}: there is no folder {path.parent}. Create the folder, or name another file."
        )
    if find_spec("matplotlib") is None:
        raise UserError("--png needs matplotlib, which is not installed: pip install 'hrm_align[report]'.")


def draw_curves(curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], path: Path) -> None:
    """Save a picture of curves.

    Args:
        curves: for each metric, the steps and values of each run by the run's name.
        path: the file to write.

    Raises:
        UserError: if the file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(run for lines in curves.values() for run in lines))
    columns = min(len(curves), _COLUMNS)
    rows = math.ceil(len(curves) / columns)
    size = (max(8.0, 4.2 * columns), 3.2 * rows + 0.25 * len(names) + 0.2)
    figure = _new_figure(size)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, (metric, lines) in zip(panels, curves.items(), strict=False):
        for index, name in enumerate(names):
            steps = [step for step, _ in lines.get(name, ())]
            values = [value for _, value in lines.get(name, ())]
            style = {"color": f"C{index % 10}", "linestyle": _STYLES[index // 10 % len(_STYLES)]}
            panel.plot(
                steps, values, **style, marker="o" if len(steps) < 30 else None, markersize=4, label=_shorten(name)
            )
        panel.set(xlabel="step", title=metric)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(curves) :]:
        panel.remove()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", frameon=False)
    _save(figure, path)


def draw_calibration(calibrations: Mapping[str, Calibration], path: Path) -> None:
    """Save a reliability diagram (accuracy of each bin by its mean confidence) beside the risk-coverage curves.

    Args:
        calibrations: by the name of the confidence.
        path: the file to write.

    Raises:
        UserError: if the file cannot be written.
    """
    figure = _new_figure((9.0, 4.0))
    reliability, risk = figure.subplots(1, 2)
    reliability.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for name, one in calibrations.items():
        reliability.plot(
            [part.confidence for part in one.bins],
            [part.accuracy for part in one.bins],
            marker="o",
            markersize=4,
            label=name,
        )
        risk.plot([point.coverage for point in one.curve], [point.risk for point in one.curve], label=name)
    reliability.set(xlabel="mean confidence of a bin", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    risk.set(
        xlabel="coverage (most confident answers)", ylabel="risk (share of wrong answers)", xlim=(0, 1), ylim=(0, None)
    )
    for panel in (reliability, risk):
        panel.spines[["top", "right"]].set_visible(False)
    risk.legend(frameon=False)
    _save(figure, path)


def _new_figure(size: tuple[float, float]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot, which needs a display and keeps every figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write --png {path} ({error.strerror}). Name another file.") from None


def _shorten(name: str) -> str:
    half = _LEGEND_WIDTH // 2
    return name if len(name) <= _LEGEND_WIDTH else f"{name[: half - 2]}...{name[-half:]}"
