"""The plots of a report, from a study's tables; each says what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from cryptoquantix.research.outputs import StudyFolder
from cryptoquantix.research.report_style import (
    ACCENT,
    DOWN,
    INK,
    LINE,
    MUTED,
    SOFT,
    UP,
)

# A screen shows no more; the table beside the report has every bar.
_POINTS_MAX = 2500


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its heading; ``html`` needs plotly's script on the page."""

    title: str
    note: str
    html: str


def figures(folder: StudyFolder) -> dict[str, Figure]:
    """Return the plots by name; those that a study's grid has too few axes for miss."""
    plots = {"equity": _equity(folder), "folds": _folds(folder)}
    axes = [name for name, values in folder.summary["grid"].items() if len(values) > 1]
    if len(axes) >= 2:
        plots["plateau"] = _plateau(folder, axes)
    elif axes:
        plots["plateau"] = _line(folder, axes[0])
    if folder.cells.height > 1:
        plots["cells"] = _cells(folder)
    return plots


def _equity(folder: StudyFolder) -> Figure:
    path = thin(folder.equity)
    start = folder.summary["costs"]["equity"]
    figure: Any = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.05
    )
    hold = path["price"] / folder.equity["price"][0] * 100.0
    add = figure.add_trace
    add(_trace(path["time"], hold, "Buy and hold", SOFT), row=1, col=1)
    add(_trace(path["time"], path["equity"] / start * 100.0, "Walk-forward", ACCENT),
        row=1, col=1)  # fmt: skip
    fall = go.Scatter(
        x=path["time"].to_list(), y=(path["drawdown"] * -100.0).to_list(),
        name="Drawdown", line={"color": DOWN, "width": 1}, fill="tozeroy",
        fillcolor="rgba(179,38,30,0.12)", showlegend=False,
        hovertemplate="%{y:.1f} %<extra>Drawdown</extra>",
    )  # fmt: skip
    add(fall, row=2, col=1)
    border = {"color": SOFT, "width": 1, "dash": "dot"}
    for start_of_test in folder.folds["test_start"].to_list()[1:]:
        for row in (1, 2):
            figure.add_vline(
                x=start_of_test.timestamp() * 1000, line=border, row=row, col=1
            )
    figure.update_yaxes(title_text="start = 100", row=1, col=1)
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1)
    note = (
        "One account through all test windows, after all costs; vertical lines are "
        "fold borders, where parameters may switch."
    )
    made = _html(figure, 520, has_vertical_grid=False)
    return Figure("Equity out of sample", note, made)


def _folds(folder: StudyFolder) -> Figure:
    table = folder.folds
    labels = [f"{value:%Y-%m-%d}" for value in table["test_start"].to_list()]
    figure: Any = go.Figure()
    for name, window, color in (
        ("Train (chosen on)", "train", SOFT),
        ("Test (traded)", "test", ACCENT),
    ):
        figure.add_bar(
            x=labels, y=_daily_percent(table, window), name=name, marker_color=color
        )
    figure.update_layout(barmode="group", bargap=0.25, xaxis={"type": "category"})
    figure.update_yaxes(title_text="return a day, %")
    figure.update_xaxes(title_text="test window starts")
    note = "What was promised when choosing and what was delivered, fold by fold."
    return Figure("Promise and delivery", note, _html(figure, 320))


def _daily_percent(folds: pl.DataFrame, window: str) -> list[float]:
    """Return each fold's mean return a day in its train or test window."""
    days = (pl.col(f"{window}_end") - pl.col(f"{window}_start")).dt.total_days()
    growth = pl.col(f"{window}_return").log1p() / days
    daily = folds.select((growth.exp() - 1.0) * 100.0).to_series()
    return [round(value, 4) for value in daily.to_list()]


def _plateau(folder: StudyFolder, axes: list[str]) -> Figure:
    """Return heat maps of every two axes, one shown at a time."""
    planes = [(a, b) for i, a in enumerate(axes) for b in axes[i + 1 :]]
    # The two axes with most values first: that is where a plateau can be seen.
    grid = folder.summary["grid"]
    planes.sort(key=lambda plane: -len(grid[plane[0]]) * len(grid[plane[1]]))
    figure: Any = go.Figure()
    for number, (vertical, across) in enumerate(planes):
        figure.add_trace(_heat(folder.cells, vertical, across, is_shown=number == 0))
    figure.update_xaxes(title_text=planes[0][1], type="category")
    figure.update_yaxes(title_text=planes[0][0], type="category")
    if len(planes) > 1:
        figure.update_layout(updatemenus=[_menu(planes)])
    note = (
        "Mean Sharpe ratio over all days, in sample, over the axes not shown. A lone "
        "bright cell is likely luck; a broad area is not proof either."
    )
    return Figure("Parameter plateau", note, _html(figure, 430))


def _heat(cells: pl.DataFrame, vertical: str, across: str, *, is_shown: bool) -> Any:  # noqa: ANN401 - plotly is untyped
    mean = cells.group_by(vertical, across).agg(pl.col("sharpe").mean())
    rows, columns = (sorted(set(cells[name].to_list())) for name in (vertical, across))
    found = {(row[0], row[1]): row[2] for row in mean.iter_rows()}
    values = [[found.get((r, c)) for c in columns] for r in rows]
    return go.Heatmap(
        x=[f"{c:g}" for c in columns],
        y=[f"{r:g}" for r in rows],
        z=values,
        texttemplate="%{z:.2f}",
        colorscale=[[0, DOWN], [0.5, "#ffffff"], [1, UP]],
        zmid=0.0,
        colorbar={"title": "Sharpe", "outlinewidth": 0, "thickness": 12},
        visible=is_shown,
        hovertemplate=(
            f"{vertical} %{{y}}<br>{across} %{{x}}<br>%{{z:.2f}}<extra></extra>"
        ),
        xgap=2,
        ygap=2,
    )


def _menu(planes: list[tuple[str, str]]) -> dict[str, Any]:
    buttons = [
        {
            "label": f"{vertical} × {across}",
            "method": "update",
            "args": [
                {"visible": [i == number for i in range(len(planes))]},
                {"xaxis.title.text": across, "yaxis.title.text": vertical},
            ],
        }
        for number, (vertical, across) in enumerate(planes)
    ]
    return {
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "bgcolor": "#ffffff",
        "bordercolor": LINE,
    }


def _line(folder: StudyFolder, axis: str) -> Figure:
    table = folder.cells.sort(axis)
    figure: Any = go.Figure()
    figure.add_scatter(
        x=[f"{value:g}" for value in table[axis].to_list()],
        y=table["sharpe"].to_list(),
        mode="lines+markers",
        line={"color": ACCENT},
        name="Sharpe ratio",
    )
    figure.update_xaxes(title_text=axis, type="category")
    figure.update_yaxes(title_text="Sharpe ratio")
    note = "Sharpe ratio over all days, in sample."
    return Figure("Parameter plateau", note, _html(figure, 320))


def _cells(folder: StudyFolder) -> Figure:
    summary = folder.summary
    figure: Any = go.Figure()
    figure.add_histogram(
        x=folder.cells["sharpe"].to_list(),
        nbinsx=24,
        marker={"color": SOFT, "line": {"color": "#ffffff", "width": 1}},
        name="cells",
        hovertemplate="Sharpe %{x}: %{y} cells<extra></extra>",
    )
    marks = (
        ("best cell, hindsight", summary["in_sample_best"]["sharpe"], UP, 1.0),
        ("luck alone", summary["luck_sharpe"], MUTED, 0.86),
        ("walk-forward, out of sample", summary["oos_sharpe"], ACCENT, 0.72),
    )
    for text, value, color, height in marks:
        figure.add_vline(x=value, line={"color": color, "width": 2})
        figure.add_annotation(
            x=value, y=height, yref="paper", text=f" {text} {value:.2f} ",
            showarrow=False, xanchor="left", font={"color": color, "size": 13},
            bgcolor="rgba(255,255,255,0.85)",
        )  # fmt: skip
    figure.update_xaxes(title_text="Sharpe ratio over all days, in sample")
    figure.update_yaxes(title_text="parameter sets")
    figure.update_layout(showlegend=False)
    note = (
        "Every parameter set that was tried, the failed ones included; 'luck alone' is "
        "what the best of as many sets without skill is expected to show."
    )
    return Figure("All parameter sets", note, _html(figure, 340))


def thin(path: pl.DataFrame) -> pl.DataFrame:
    """Return the path with few enough points to draw: each the last of its bucket.

    The drawdown of a point is the deepest of its bucket, so that none disappears.
    """
    size = -(-path.height // _POINTS_MAX)
    if size <= 1:
        return path
    bucket = pl.Series("bucket", np.arange(path.height) // size)
    return (
        path.with_columns(bucket)
        .group_by("bucket", maintain_order=True)
        .agg(
            pl.exclude("drawdown").last(),
            pl.col("drawdown").max(),
        )
        .drop("bucket")
    )


def _trace(x: pl.Series, y: pl.Series, name: str, color: str) -> Any:  # noqa: ANN401 - plotly is untyped
    return go.Scatter(
        x=x.to_list(),
        y=[round(value, 3) for value in y.to_list()],
        name=name,
        line={"color": color, "width": 1.8},
        hovertemplate="%{y:.1f}<extra>" + name + "</extra>",
    )


def _html(figure: Any, height: int, *, has_vertical_grid: bool = True) -> str:  # noqa: ANN401 - plotly is untyped
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 16, "t": 34, "b": 48},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        font={"color": INK, "size": 13},
        legend={
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": 1.02,
            "yanchor": "bottom",
        },
        hovermode="closest" if has_vertical_grid else "x unified",
    )
    figure.update_xaxes(
        gridcolor=LINE, zeroline=False, linecolor=LINE, showgrid=has_vertical_grid
    )
    figure.update_yaxes(gridcolor=LINE, zerolinecolor=SOFT, linecolor=LINE)
    made: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"displayModeBar": False, "responsive": True},
    )
    return made
