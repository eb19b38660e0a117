"""Figures: they say what the law says, for every form, and nothing in them overlaps."""

import importlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scaling import laws
from tests.laws import planted
from tests.laws.forms.contract import Example
from tests.laws.test_allocation import ISOFLOP, known

FORMS = Path(__file__).parent / "forms"


def examples() -> list[Example]:
    """Those of the forms' own tests."""
    modules = [importlib.import_module(f"tests.laws.forms.{path.stem}") for path in sorted(FORMS.glob("test_*.py"))]
    given = [getattr(module, "EXAMPLES", []) for module in modules]
    every = [one for some in given for one in (some.values() if isinstance(some, dict) else some)]
    return [one for one in every if isinstance(one, Example)]


def ranges(example: Example) -> dict[str, tuple[float, float]]:
    columns = example.columns()
    if {"params", "tokens"} <= set(columns):
        columns["flops"] = 6 * columns["params"] * columns["tokens"]
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


def drawn(figure: Figure) -> Any:
    """The figure's renderer, everything laid out."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def overlaps(figure: Figure) -> list[str]:
    """Pairs of texts that lie on each other, and texts that reach out of the figure."""
    renderer = drawn(figure)
    texts = [text for text in figure.texts if text.get_text()]
    for axis in figure.axes:
        texts += [axis.xaxis.label, axis.yaxis.label]
        for one, which in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            shown = [tick for tick in one.get_major_ticks() if which[0] <= tick.get_loc() <= which[1]]
            texts += [label for tick in shown for label in (tick.label1, tick.label2) if label.get_visible()]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()]
    found = [f"{a!r} on {b!r}" for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.overlaps(y)]
    width, height = figure.canvas.get_width_height()
    return found + [a for a, x in boxes if x.x0 < 0 or x.y0 < 0 or x.x1 > width or x.y1 > height]


def lines(figure: Figure, place: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label -> (x, y) of each labelled line of an axis."""
    found = [line for line in figure.axes[place].lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in found}


def test_the_frontier_is_what_optimum_says() -> None:
    fit = known(count=400)
    figure = fit.plot()
    assert len(figure.axes) == 2
    x, y = lines(figure, 0)["best loss for C"]
    dashed = figure.axes[0].lines[1]
    assert x[0] == pytest.approx(fit.ranges["flops"][0])
    assert x[-1] <= fit.ranges["flops"][1] * 1.01
    assert dashed.get_xdata()[-1] == pytest.approx(100 * fit.ranges["flops"][1])
    assert y[5] == pytest.approx(fit.optimum(flops=x[5]).loss.value)
    assert lines(figure, 0)["E = 1.69"][1][0] == pytest.approx(1.69)
    for name, start in (("params", "N*"), ("tokens", "D*")):
        label, (x, y) = next((k, v) for k, v in lines(figure, 1).items() if k.startswith(start))
        best = getattr(fit.optimum(flops=x[5]), name)
        assert y[5] == pytest.approx(best.value)
        assert f"{fit.exponents()[name].value:.2f}" in label
    band = figure.axes[1].collections[1].get_paths()[0].vertices
    at = band[np.isclose(band[:, 0], x[5])][:, 1]
    best = fit.optimum(flops=x[5]).params
    assert (at.min(), at.max()) == pytest.approx((best.low, best.high), rel=1e-4)


def test_a_table_adds_its_rows_and_residuals() -> None:
    table = planted.study(noise=0.01)
    fit = laws.fit(table, resamples=40, starts=32)
    figure = fit.plot(table)
    rows = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(np.sort(rows[:, 1]), np.sort(table["loss"]))
    residuals = figure.axes[2].collections[0].get_offsets()
    said = fit.loss(params=np.array(table["params"]), tokens=np.array(table["tokens"]))
    np.testing.assert_allclose(residuals[:, 1], 100 * np.log(np.array(table["loss"]) / said), rtol=1e-9)
    assert overlaps(figure) == []
    renamed = {"size": table["params"], "compute": table["flops"], "loss": table["loss"]}
    again = fit.plot(renamed, columns={"params": "size", "flops": "compute"})
    without_params = fit.plot({name: table[name] for name in ("tokens", "flops", "loss")})
    np.testing.assert_allclose(without_params.axes[2].collections[0].get_offsets(), residuals)
    np.testing.assert_allclose(again.axes[2].collections[0].get_offsets(), residuals)


@pytest.mark.parametrize("span", [1.5, 3.0, 4.0, 6.0, 11.0, 40.0])
def test_budgets_of_a_narrow_range_have_ticks_that_do_not_overlap(span: float) -> None:
    table = planted.study(noise=0.01, budgets=2e11 * np.array([1.0, span]))
    found = {name: (min(table[name]), max(table[name])) for name in ("params", "tokens", "flops")}
    figure = known(truth=planted.TRUTH, ranges=found).plot(table)
    assert overlaps(figure) == []
    for axis in figure.axes[:3]:
        low, high = axis.get_xlim()
        assert len([tick for tick in axis.get_xticks() if low <= tick <= high]) >= 2


def test_the_frontier_s_own_law_shows_rows_without_residuals() -> None:
    table = planted.study(noise=0.01)
    figure = laws.fit(table, "isoflop", resamples=40).plot(table)
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "parameters N*, tokens D*", "parameters N"]
    assert len(figure.axes[0].collections[0].get_offsets()) == len(table["loss"])
    assert overlaps(figure) == []


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.form)
def test_every_form_can_be_drawn(example: Example) -> None:
    fit = known(example.form, example.truth, options=example.options, ranges=ranges(example), spread=0.002)
    figure = fit.plot()
    drawn(figure)
    assert len(figure.axes) == (2 if fit.has_optimum else len(example.law.inputs))
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert np.isfinite([*axis.get_xlim(), *axis.get_ylim()]).all()
        assert any(np.asarray(line.get_ydata()).size > 2 for line in axis.lines)


@pytest.mark.parametrize(
    "fit",
    [
        known(),
        known("isoflop", ISOFLOP),
        known("power", {"E": 1.5, "A": 40.0, "alpha": 0.3}),
        known("power", {"E": 0.0, "A": 90.0, "alpha": 0.05}, options={"x": "flops"}),
        known(spread=0.05),
        known(ranges={"params": (1e3, 1e12), "tokens": (1e4, 1e14), "flops": (1e8, 1e27)}),
        known(ranges={"params": (1e9, 2e9), "tokens": (2e10, 4e10), "flops": (1e20, 5e20)}),
        replace(known(), samples={}, intervals={}, pinned={"E": 1.69}),
    ],
    ids=["chinchilla", "isoflop", "power", "no asymptote", "uncertain", "wide", "narrow", "no resamples"],
)
def test_nothing_overlaps_and_it_can_be_saved(fit: laws.LawFit) -> None:
    figure = fit.plot()
    assert overlaps(figure) == []
    for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        assert file.getvalue().startswith(start)
    if not fit.samples:
        assert "E = 1.69 (held)" in lines(figure, 0)


def test_further_inputs_are_held_where_it_is_said() -> None:
    truth = {"E": 1.8, "A": 521.0, "alpha": 0.35, "B": 1488.0, "beta": 0.37, "R_D_star": 12.0, "R_N_star": 4.0}
    wide = {"params": (1e8, 1e10), "tokens": (2e9, 2e11), "flops": (1.2e18, 1.2e22), "unique_tokens": (1e9, 1e11)}
    fit = known("data_constrained", truth, ranges=wide, count=20)
    middle, own = fit.plot(), fit.plot(unique_tokens=2e9)
    assert "unique_tokens = 10B" in middle._suptitle.get_text()  # type: ignore[union-attr]
    assert "unique_tokens = 2B" in own._suptitle.get_text()  # type: ignore[union-attr]
    x, y = lines(own, 0)["best loss for C"]
    assert y[-1] == pytest.approx(fit.optimum(flops=x[-1], unique_tokens=2e9).loss.value, rel=1e-6)
    with pytest.raises(laws.LawError, match="did you mean 'unique_tokens'"):
        fit.plot(unique_token=1e9)
