"""The report: one file that needs no network, charts beside it, and the numbers of the records in it."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scaling import laws
from scaling.records import ChoiceScore, KnownEntropy, Observation, PositionLoss, TextScore
from scaling.reporting import Answer, Bowl, Contents, LossCurve, made_from, write_report
from scaling.reporting.bowls import bowls
from tests.laws import planted


@pytest.fixture(scope="module")
def contents() -> Contents:
    table = planted.study(noise=0.005)
    rows = [
        Observation(
            trajectory=name, role="fit", seed=seed, width=8, layers=2, params=round(params), tokens=round(tokens),
            flops=flops, budget=flops, loss=loss, loss_se=0.01, bits_per_byte=loss / np.log(2), train_loss=loss,
            params_convention="with_embeddings", flops_convention="6N", params_non_embedding=round(params / 2),
            flops_causal=flops, unique_tokens=1_000_000, epochs=tokens / 1e6, steps=1000, decay_steps=200,
            learning_rate=1e-3, batch_tokens=64, horizon="horizon",
        )
        for name, seed, params, tokens, flops, loss in zip(
            *(table[key] for key in ("trajectory", "seed", "params", "tokens", "flops", "loss")), strict=True
        )
    ]  # fmt: skip
    fits = {name: laws.fit(table, name, resamples=100, starts=32) for name in ("chinchilla", "isoflop")}
    answers = tuple(Answer(m, fits["chinchilla"].optimum(flops=m * 5e11), m > 1) for m in (1.0, 10.0))
    check = {
        "prediction": {
            "params": 200_000, "tokens": 2_000_000, "flops": 2e12, "seeds": [1, 2], "loss": 1.9,
            "model": {"width": 64, "layers": 2}, "interval": {"low": 1.8, "high": 2.0, "level": 0.95},
            "baselines": {"best_loss_of_last_budget": 2.1, "straight_line_in_logs": 1.85},
        },
        "prediction_sha256": "ab" * 32,
        "predicted_first": True,
        "measured": {"loss": 1.92, "losses": [1.91, 1.93]},
        "inside": True,
        "relative_error": -0.0104,
        "half_width": [0.052, 0.053],
        "baseline_errors": {"best_loss_of_last_budget": 0.09, "straight_line_in_logs": -0.036},
    }  # fmt: skip
    return Contents(
        name="planted<study>", study_yaml="name: planted", command="scaling run study.yaml",
        curves=(LossCurve(rows[0].trajectory, "trunk", rows[0].params, (1e9, 1e10, 1e11), (4.0, 3.0, 2.5)),),
        observations=tuple(rows), laws=fits, main="chinchilla", answers=answers, trust="Trust it a little.",
        remarks=("w24 diverged at step 7",), check=check, provenance={"python": "3"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(contents, tmp_path_factory.mktemp("report"), "0123abcd")


def test_the_page_needs_no_network(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", text)
    assert text.count("Plotly.newPlot(") >= 6
    assert made_from(page) == "0123abcd"


def test_the_page_says_what_the_records_say(page: Path, contents: Contents) -> None:
    text = page.read_text()
    best = contents.answers[1].allocation
    for words in (
        best.params.text(laws.count), best.loss.text(), "Trust it a little.", "w24 diverged at step 7",
        "1.9000 [1.8000, 2.0000]", "-1.04%", "+9.00%", "planted&lt;study&gt;", "scaling run study.yaml", "inside",
        "1,000,000 unique tokens",
    ):  # fmt: skip
        assert words in text, words


def test_the_page_holds_a_fitted_e_against_a_known_entropy(page: Path, contents: Contents, tmp_path: Path) -> None:
    assert "known entropy" not in page.read_text()
    fitted, interval = contents.law.params["E"], contents.law.intervals["E"]
    for loss, inside in ((fitted, "lies inside"), (interval.high + 0.01, "lies OUTSIDE")):
        known = KnownEntropy(
            source="grammar", rate=fitted / 1.25, sequence_length=64, loss=loss, loss_se=0.004, fingerprint="ab"
        )
        write_report(replace(contents, known=known), tmp_path, "known")
        text = (tmp_path / "index.html").read_text()
        for words in (
            "known entropy of grammar", f"{fitted / 1.25:.4f} (exact)", "+25.00%", "windows of 64", f"{loss:.4f}",
            f"{fitted:.4f} [{laws.number(interval.low)}, {laws.number(interval.high)}]", inside,
        ):  # fmt: skip
            assert words in text, words


def test_every_chart_lies_beside_it_as_svg_and_png(page: Path) -> None:
    names = {path.stem for path in page.parent.glob("*.svg")}
    assert names == {"loss_curves", "isoflop", "optimum", "contour", "residuals", "frontier"}
    for name in names:
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        root = ElementTree.parse(page.parent / f"{name}.svg").getroot()
        assert root.tag.endswith("svg")
        assert len(list(root.iter())) > 50


def test_what_was_measured_on_named_sets_has_tables_and_charts(contents: Contents, tmp_path: Path) -> None:
    places = tuple(
        PositionLoss(first=first, last=last, loss=loss, loss_se=0.01)
        for first, last, loss in ((1, 1, 3.0), (2, 2, 2.5), (3, 4, 2.25))
    )
    rows = [
        row.model_copy(
            update={
                "by_position": places,
                "sets": {
                    "news": TextScore(
                        loss=row.loss + 0.5, loss_se=0.02, bits_per_byte=1.25, bits_per_byte_se=0.03, by_position=places
                    ),
                    "quiz": ChoiceScore(
                        bits_per_byte=0.875, bits_per_byte_se=0.04, likelihood=0.375, likelihood_se=0.05, accuracy=0.5,
                        accuracy_se=0.0625, chance=0.25, cut=3, split=0,
                    ),
                },
            }
        )
        for row in contents.observations
    ]  # fmt: skip
    page = write_report(replace(contents, observations=tuple(rows)), tmp_path, "sets")
    text = page.read_text()
    largest = max(contents.observations, key=lambda row: (row.params, row.tokens))
    for words in (
        "Measured on held-out sets", "<h3>news</h3>", f"{largest.loss + 0.5:.4f} ± 0.0200", "1.2500 ± 0.0300",
        "<h3>quiz</h3>", "0.8750 ± 0.0400", "0.3750 ± 0.0500", "50.0% ± 6.2%",
        "chance 25.0%; the prompts of 3 questions", "Loss by position: news",
        "The study&#x27;s own held-out text", f"{largest.loss:.4f} ± 0.0100",
    ):  # fmt: skip
        assert words in text, words
    assert {path.stem for path in tmp_path.glob("positions*.svg")} == {"positions", "positions_news"}


def test_the_bowls_of_a_tuned_ladder_have_a_chart_with_the_laws_rates(contents: Contents, tmp_path: Path) -> None:
    seen = Bowl(7192, 86_304.0, 256, False, False, (0.003, 0.01, 0.03), (2.6, 2.4, 2.5), 0.0173205080757)
    held = Bowl(7192, 2e5, 256, False, True, (0.003, 0.01), (2.5, 2.3), 0.1)
    chart = bowls(replace(contents, bowls=(seen, held)))[0]
    law = next(series for series in chart.series if series.name == "the law's rate")
    between = np.sqrt(2.4 * 2.5)
    np.testing.assert_allclose(law.y, [between, 2.3], rtol=1e-6)
    assert [series.dashed for series in chart.series if series.kind == "line"] == [False, True]
    assert not bowls(contents)
    tuning = {"law": "abc", "equation": "eta", "left_out": [], "regret": [], "corners": [], "beyond": [0.0, 0.0]}
    law_of = contents.laws["chinchilla"]
    told = replace(law_of, details=law_of.details | {"tuning": tuning | {"corners_that_are_the_trunk": 0}})
    whole = replace(contents, bowls=(seen, held), laws=contents.laws | {"chinchilla": told})
    page = write_report(whole, tmp_path, "key").read_text()
    assert 0 < page.index("<h2>Tuning</h2>") < page.index("<h2>Bowls</h2>") < page.index("Loss curves")
    assert (tmp_path / "bowls.png").stat().st_size > 0


def test_the_same_contents_give_the_same_figures(page: Path, contents: Contents, tmp_path: Path) -> None:
    write_report(contents, tmp_path, "other")
    for path in page.parent.glob("*.svg"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_run_without_a_check_has_a_report(contents: Contents, tmp_path: Path) -> None:

    write_report(replace(contents, check=None, curves=()), tmp_path, "none")
    assert "No check was trained" in (tmp_path / "index.html").read_text()
