"""Curves of `hrm-align runs compare`, as a table and as a picture."""

from itertools import combinations

import pytest

from tests.command_line import run
from tests.run_folders import GRPO, LOST, compared, shown, write_run

AGAIN = [{"step": 3, "loss": 30.0}, {"step": 4, "loss": 40.0}]


@pytest.mark.parametrize(
    ("metrics", "curve"),
    [
        ([*LOST, {"step": 2, "resumed_from": "c"}, *AGAIN], [[1, 1], [2, 2], [3, 30], [4, 40]]),
        ([*LOST, {"step": 2, "resumed_from": "c"}], [[1, 1], [2, 2]]),
        ([{"step": 0, "loss": 9.0}, *LOST, {"step": 0, "resumed_from": None}, *AGAIN], [[3, 30], [4, 40]]),
        (
            [*LOST, {"step": 3, "resumed_from": "c"}, {"step": 2, "resumed_from": "c"}, *AGAIN],
            [[1, 1], [2, 2], [3, 30], [4, 40]],
        ),
        (
            [*LOST, {"step": 4, "resumed_from": "c"}, {"step": 5, "loss": "nan"}],
            [[1, 1], [2, 2], [3, 3], [4, 4], [5, "nan"]],
        ),
    ],
)
def test_records_of_lost_weights_are_left_out_of_a_curve(capsys, tmp_path, metrics, curve):
    one, other = write_run(tmp_path / "a", metrics=metrics), write_run(tmp_path / "b", metrics=LOST)
    assert compared(capsys, one, other)["curves"]["loss"][str(one)] == curve


def table_of(words: list[list[str]], name: str) -> list[list[str]]:
    start = words.index([name]) + 1
    return words[start : words.index([], start) if [] in words[start:] else None]


def test_curves_stand_side_by_side_at_steps_that_match(capsys, tmp_path):
    one = write_run(tmp_path / "a", metrics=[{"step": s, "loss": 1 / s} for s in range(1, 401)])
    other = write_run(tmp_path / "b", metrics=[{"step": s, "loss": 2 / s} for s in range(20, 320, 20)])
    table = table_of(shown(capsys, "compare", one, other), "loss")
    assert table[0] == ["step", "A", "B"] and 8 <= len(table) <= 13
    assert table[1] == ["20", "0.05", "0.1"] and table[-2:] == [["300", "0.003333", "0.006667"], ["400", "0.0025"]]
    assert all(len(line) == 3 for line in table[:-1])
    report = compared(capsys, one, other)["curves"]["loss"]
    assert len(report[str(one)]) == 400 and len(report[str(other)]) == 15


def test_curves_without_a_common_step_are_both_shown(capsys, tmp_path):
    one = write_run(tmp_path / "a", metrics=[{"step": s, "loss": 1.0} for s in range(1, 400, 2)])
    other = write_run(tmp_path / "b", metrics=[{"step": s, "loss": 2.0} for s in range(2, 100, 2)])
    table = table_of(shown(capsys, "compare", one, other), "loss")[1:]
    assert (
        len(table) <= 12 and [line[1] for line in table].count("2") >= 4 and [line[1] for line in table].count("1") >= 4
    )


def test_the_picture_has_a_line_per_run_and_no_label_over_its_edge(capsys, tmp_path, monkeypatch):
    figure_module = pytest.importorskip("matplotlib.figure")
    drawn = []
    save = figure_module.Figure.savefig

    def saved(figure, *rest, **more):
        save(figure, *rest, **more)
        drawn.append(figure)

    monkeypatch.setattr(figure_module.Figure, "savefig", saved)
    metrics = [
        {"step": s, "loss": 12345.678 / s, "eval_loss": 1.0, "eval_exact_match": 0.5} for s in (10, 1000, 100_000)
    ]
    one = write_run(tmp_path / "one", metrics=metrics)
    other = write_run(tmp_path / ("long-name-" * 12), GRPO, [{"step": 1, "reward": 0.5}])
    code, out, err = run(capsys, "runs", "compare", one, other, "--png", tmp_path / "curves.png")
    assert code == 0 and str(tmp_path / "curves.png") in out.replace("\n", ""), err
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    (figure,) = drawn
    assert [panel.get_title() for panel in figure.axes] == ["loss", "reward", "eval_loss", "eval_exact_match"]
    assert [text.get_text()[:1] for text in figure.legends[0].get_texts()] == ["A", "B"]
    assert [list(line.get_xdata()) for line in figure.axes[1].lines] == [[], [1]]
    boxes = [artist.get_tightbbox() for artist in (*figure.axes, *figure.legends)]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2)), "no label over another"
    code, _, err = run(capsys, "runs", "compare", one, other, "--png", tmp_path / "curves.png")
    assert code == 2 and "already exists and is not overwritten" in err


def test_a_picture_without_matplotlib_is_one_sentence(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("hrm_align.run_history.picture.find_spec", lambda name: None)
    one, other = write_run(tmp_path / "a", metrics=LOST), write_run(tmp_path / "b", metrics=LOST)
    code, _, err = run(capsys, "runs", "compare", one, other, "--png", tmp_path / "x.png")
    assert code == 2 and "pip install 'hrm_align[report]'" in err
