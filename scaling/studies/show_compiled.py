"""What the terminal says of programs that were compiled ahead."""

from rich.markup import escape
from rich.table import Table

from scaling.records import Compiled
from scaling.studies.examined import Cell, Examined, gigabytes
from scaling.studies.progress import duration
from scaling.studies.terminal import console

WHERE = {
    "here": "compiled for this machine",
    "topology": "compiled by libtpu for {topology}, which is not here",
    "simulated": "compiled for {devices} CPU device(s) in place of those described: memory is approximate",
}


def table(found: Examined) -> None:
    """Each cell with what it takes, and in words what the numbers are."""
    out = console()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("cell", "N", "memory", "limit", "fits", "FLOPs/step", "compile", "step", "runs", "expected"):
        drawn.add_column(name, justify="left" if name == "cell" else "right")
    for cell in found.cells:
        drawn.add_row(*_row(cell))
    out.print(drawn)
    for line in notes(found):
        out.print(escape(line), soft_wrap=True)


def notes(found: Examined) -> list[str]:
    """Where the programs were compiled, what a device's memory is, and what the times are."""
    study = found.study
    compiled = [cell for cell in found.cells if isinstance(cell.report, Compiled)]
    reports = [cell.report for cell in compiled if isinstance(cell.report, Compiled)]
    if not reports:
        return []
    first = reports[0]
    where = WHERE[first.where].format(topology=study.engine.target.topology, devices=first.devices)
    lines = [f"{where}; memory is that of one device ({first.device})" + _limit(found, first)]
    if all(cell.measured for cell in compiled):
        lines.append("expected: from each program's measured seconds a step, its runs one after another")
    elif first.where == "here":
        lines.append("expected: at engine.expected_flops_per_second")
    else:
        known = study.engine.target.flops_per_second
        lines.append(
            "expected: unknown; give engine.target.flops_per_second" if known is None
            else f"expected: at engine.target.flops_per_second {known:g} a device"
        )  # fmt: skip
    if found.expected_seconds is not None:
        lines.append(f"together about {duration(found.expected_seconds)} on {found.processes} process(es)")
    if first.where == "here" and study.engine.compilation_cache is None:
        lines.append("engine.compilation_cache is null: the jobs will compile their programs again")
    return lines


def said(found: Examined) -> str:
    """One line for a run that is about to begin."""
    count = f"compiled ahead: {len(found.cells)} programs, {found.asked} of them now, in {duration(found.took_seconds)}"
    compiled = [(cell, cell.report) for cell in found.cells if isinstance(cell.report, Compiled)]
    if not compiled:
        return count
    cell, report = max(compiled, key=lambda one: one[1].memory_bytes / max(1, one[0].limit_bytes))
    again = "" if report.cached else "; without engine.compilation_cache the jobs compile them again"
    size, limit = gigabytes(report.memory_bytes), gigabytes(cell.limit_bytes)
    return f"{count}; {cell.name} takes most, {size} of {limit}{again}"


def _limit(found: Examined, first: Compiled) -> str:
    if first.limit_bytes is not None:
        return ""
    return f", the limit what is free here over {found.processes} process(es)"


def _row(cell: Cell) -> tuple[str, ...]:
    trajectory, report = cell.trajectories[0], cell.report
    name = f"{cell.name} (check)" if trajectory.role == "check" else cell.name
    if not isinstance(report, Compiled):
        return name, f"{trajectory.params:,}", "", "", "no", "", "", "", str(len(cell.trajectories)), ""
    step = report.seconds_per_step
    return (
        name,
        f"{trajectory.params:,}",
        gigabytes(report.memory_bytes),
        gigabytes(cell.limit_bytes),
        "yes" if cell.fits else "no",
        f"{report.flops_per_step:.2e}",
        f"{report.compile_seconds:.1f} s",
        "" if step is None else f"{step * 1e3:.3g} ms",
        str(len(cell.trajectories)),
        "" if cell.seconds is None else duration(cell.seconds),
    )
