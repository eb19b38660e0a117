"""Charts for the page: Plotly, as HTML fragments that share one copy of its script."""

from plotly import graph_objects, offline

from scaling.reporting.charts import Chart, Series

SYMBOLS = {"circle": "circle", "star": "star", "diamond": "diamond", "cross": "x"}
HEIGHT = 520


def script() -> str:
    """Plotly's own JavaScript, so that the page opens without network."""
    return str(offline.get_plotlyjs())


def fragment(chart: Chart) -> str:
    """A <div> that draws `chart` once `script()` has run."""
    figure = graph_objects.Figure()
    for series in chart.series:
        _add(figure, series)
    axis = {
        "showline": True,
        "linecolor": "#c9ccd1",
        "gridcolor": "#eceef1",
        "zeroline": False,
        "exponentformat": "power",
    }
    figure.update_layout(
        template="none",
        height=HEIGHT,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
        xaxis=axis | {"title": {"text": chart.x_label}, "type": "log" if chart.x_log else "linear"},
        yaxis=axis | {"title": {"text": chart.y_label}, "type": "log" if chart.y_log else "linear"},
    )
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"chart-{chart.key}",
            config={"displaylogo": False, "responsive": True},
        )
    )


def _add(figure: graph_objects.Figure, series: Series) -> None:
    shared = {"x": series.x.tolist(), "name": series.name, "showlegend": bool(series.name)}
    if series.kind == "band" and series.upper is not None:
        shared |= {"mode": "lines", "line": {"width": 0, "color": series.colour}, "hoverinfo": "skip"}
        figure.add_scatter(**shared, y=series.y.tolist())
        figure.add_scatter(
            **(shared | {"showlegend": False}), y=series.upper.tolist(), fill="tonexty", fillcolor=_faint(series.colour)
        )
    elif series.kind == "line":
        line = {"color": series.colour, "width": series.width, "dash": "dash" if series.dashed else "solid"}
        figure.add_scatter(**shared, y=series.y.tolist(), mode="lines", line=line, hoverinfo="name+x+y")
    else:
        marker = {"color": series.colour, "size": series.size + 2, "symbol": SYMBOLS[series.symbol]}
        marker["line"] = {"color": "white", "width": 0.5}
        figure.add_scatter(
            **shared,
            y=series.y.tolist(),
            mode="markers",
            marker=marker,
            text=list(series.hover) or None,
            hoverinfo="text+name" if series.hover else "x+y+name",
        )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
