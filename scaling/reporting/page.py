"""The report as one self-contained HTML file, its charts as SVG and PNG beside it."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from scaling.laws import Diagnostic, LawFit, count, number
from scaling.records import replace
from scaling.reporting import entropy, interactive, measured, tuned
from scaling.reporting.bowls import KEY as BOWLS
from scaling.reporting.bowls import bowls
from scaling.reporting.charts import Chart, charts
from scaling.reporting.contents import Contents
from scaling.reporting.figures import write_figures
from scaling.reporting.positions import KEY as POSITIONS
from scaling.reporting.positions import positions
from scaling.reporting.stamp import PAGE

TEMPLATE = Path(__file__).with_name("page.html")


def write_report(contents: Contents, folder: Path, made_from: str) -> Path:
    """`folder`/index.html and the charts beside it; returns the page. `made_from` is a hash that the page carries.

    Raises:
      OSError: the folder cannot be written.
    """
    drawn = [*charts(contents), *bowls(contents), *positions(contents)]
    folder.mkdir(parents=True, exist_ok=True)
    write_figures(drawn, folder)
    page = folder / PAGE
    replace(page, html_page(contents, drawn, made_from).encode())
    return page


def html_page(contents: Contents, drawn: Sequence[Chart], key: str) -> str:
    """The page's text."""
    by_key = {chart.key: chart for chart in drawn}
    results = ["frontier", "contour", "isoflop", "optimum", "residuals", "loss_curves"]
    results += [chart.key for chart in drawn if chart.key.startswith(POSITIONS)]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        made_from=html.escape(key),
        name=html.escape(contents.name),
        summary=_summary(contents),
        answers=_answers(contents),
        trust=html.escape(contents.trust),
        check=_check(contents),
        tuned=_tuned(contents, by_key.get(BOWLS)),
        known=_known(contents),
        sets=_sets(contents),
        charts="\n".join(_section(by_key[name]) for name in results if name in by_key),
        laws="\n".join(_law(name, law) for name, law in contents.laws.items()),
        remarks=_list(contents.remarks),
        observations=_observations(contents),
        command=html.escape(contents.command),
        study=html.escape(contents.study_yaml),
        versions=_table(("package", "version"), sorted(_flat(contents.provenance))),
        script=interactive.script(),
    )


def _summary(contents: Contents) -> str:
    rows = contents.fitted
    budgets = sorted({row.budget for row in rows})
    sizes = sorted({row.params for row in rows})
    names = " and ".join(f"{key.replace('_', ' ')}" for key in contents.law.conventions.values())
    return html.escape(
        f"{len({row.trajectory for row in rows})} trajectories of {len(sizes)} sizes ({count(sizes[0])} to "
        f"{count(sizes[-1])} parameters), {len(rows)} annealed models at {len(budgets)} budgets from {budgets[0]:.2g} "
        f"to {budgets[-1]:.2g} FLOPs. N and C are counted as: {names}. Losses are nats a token on held-out text."
    )


def _answers(contents: Contents) -> str:
    rows = []
    for answer in contents.answers:
        best = answer.allocation
        rows.append(
            (
                f"{answer.multiple:g}×{'*' if answer.beyond_data else ''}",
                number(best.flops),
                best.params.text(count),
                best.tokens.text(count),
                best.tokens_per_param.text(),
                best.loss.text(),
            )
        )
    text = _table(("budget", "C (FLOPs)", "N*", "D*", "D*/N*", "loss"), rows)
    if any(answer.beyond_data for answer in contents.answers):
        unique = contents.fitted[0].unique_tokens
        text += f"<p>* D* exceeds the text's {unique:,} unique tokens: tokens would repeat, which this law ignores.</p>"
    return text


def _check(contents: Contents) -> str:
    check = contents.check
    if check is None:
        return "<p>No check was trained.</p>"
    said, measured, interval = check["prediction"], check["measured"], check["prediction"]["interval"]
    low, high = check["half_width"]
    verdict = "inside" if check["inside"] else "outside"
    rows = [
        (
            "the law",
            f"{said['loss']:.4f} [{interval['low']:.4f}, {interval['high']:.4f}] ({-low:+.1%}, {high:+.1%})",
            f"{check['relative_error']:+.2%}",
        ),
        *(
            (name.replace("_", " "), f"{value:.4f}", f"{check['baseline_errors'][name]:+.2%}")
            for name, value in said["baselines"].items()
        ),
    ]
    model = said["model"]
    intro = (
        f"N {said['params']:,} (width {model['width']}, {model['layers']} layers), D {said['tokens']:,}, "
        f"C {number(said['flops'])} FLOPs, {len(said['seeds'])} seeds. Prediction committed "
        f"{'before' if check['predicted_first'] else 'AFTER'} training, as {check['prediction_sha256'][:16]}. "
        f"Measured {measured['loss']:.4f} "
        f"({', '.join(f'{loss:.4f}' for loss in measured['losses'])}): <b class='{verdict}'>{verdict}</b> the "
        f"{interval['level']:.0%} interval."
    )
    return f"<p>{intro}</p>" + _table(("who", "said", "error"), rows)


def _tuned(contents: Contents, drawn: Chart | None) -> str:
    found = tuned.lines(contents.law)
    return f"<h2>Tuning</h2>{_list(found)}{_section(drawn) if drawn else ''}" if found else ""


def _known(contents: Contents) -> str:
    if contents.known is None:
        return ""
    table = _table(("", "nats a token", "E against it"), entropy.rows(contents.known, contents.law))
    said = html.escape(entropy.verdict(contents.known, contents.law))
    return f"<h2>E against the known entropy of {html.escape(contents.known.source)}</h2>{table}<p>{said}</p>"


def _sets(contents: Contents) -> str:
    """Of the own text and each named set the largest models of each size; of the latter all when asked for."""
    rows = contents.observations
    main = [row for row in rows if row.role in ("fit", "check")]
    own = _table(*measured.own_table(measured.largest(main)))
    parts = [f"<h2>Measured on held-out sets</h2><h3>{html.escape(measured.OWN.capitalize())}</h3>{own}"]
    for name in measured.set_names(rows):
        chance = measured.chance(rows, name)
        parts.append(
            f"<h3>{html.escape(name)}</h3>{f'<p>{html.escape(chance)}</p>' if chance else ''}"
            + _table(*measured.table(measured.largest(main, name), name))
            + f"<details><summary>Every horizon</summary>{_table(*measured.table(rows, name))}</details>"
        )
    return "".join(parts)


def _section(chart: Chart) -> str:
    files = " · ".join(f'<a href="{chart.key}.{kind}">{kind.upper()}</a>' for kind in ("svg", "png"))
    return (
        f"<section><h2>{html.escape(chart.title)}</h2><p>{html.escape(chart.caption)} {files}</p>"
        f"{interactive.fragment(chart)}</section>"
    )


def _law(name: str, law: LawFit) -> str:
    rows = [
        (key, number(value), f"[{number(law.intervals[key].low)}, {number(law.intervals[key].high)}]")
        if key in law.intervals
        else (key, number(value), "held")
        for key, value in law.params.items()
    ]
    noise = law.noise.get("run")
    said = f"{law.rows} rows, objective {law.objective['name']}, status: {law.status}." + (
        f" Noise of one run: {noise:.2%} of its loss." if noise else ""
    )
    return (
        f"<h3>{html.escape(name)}</h3><p><code>{html.escape(law.equation)}</code><br>{html.escape(law.source)}. "
        f"{html.escape(said)}</p>"
        + _table(("parameter", "value", f"{law.level:.0%} interval"), rows)
        + _findings(law.diagnostics)
    )


def _findings(found: Sequence[Diagnostic]) -> str:
    return _list([f"{item.code}: {item.message}" for item in found])


def _observations(contents: Contents) -> str:
    names = ("trajectory", "role", "N", "D", "C", "steps", "epochs", "loss", "± s.e.")
    rows = [
        (
            row.trajectory,
            row.role,
            f"{row.params:,}",
            f"{row.tokens:,}",
            f"{row.flops:.3g}",
            f"{row.steps:,}",
            f"{row.epochs:.2f}",
            f"{row.loss:.4f}",
            "" if row.loss_se is None else f"{row.loss_se:.4f}",
        )
        for row in contents.observations
    ]
    return _table(names, rows)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _flat(record: object, prefix: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(record, dict):
        for name, value in record.items():
            yield from _flat(value, f"{prefix}{name}.")
    else:
        yield prefix.rstrip("."), str(record)
