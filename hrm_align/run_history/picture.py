"""Draw the curves of runs into one picture: a panel per metric, a line per run. Needs matplotlib (the extra `report`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from hrm_align.errors import UserError

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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot, which needs a display and keeps every figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(run for lines in curves.values() for run in lines))
    columns = min(len(curves), _COLUMNS)
    rows = math.ceil(len(curves) / columns)
    size = (max(8.0, 4.2 * columns), 3.2 * rows + 0.25 * len(names) + 0.2)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
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
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write --png {path} ({error.strerror}). Name another file.") from None


def _shorten(name: str) -> str:
    half = _LEGEND_WIDTH // 2
    return name if len(name) <= _LEGEND_WIDTH else f"{name[: half - 2]}...{name[-half:]}"
