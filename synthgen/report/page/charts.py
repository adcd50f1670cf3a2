"""Figures of the page, as Vega-Lite by Vega-Altair; the page gives them its own colours."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from synthgen.dataset.proportions import Proportion
from synthgen.errors import MissingDependencyError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from types import ModuleType

Spec = dict[str, Any]
"""A figure in Vega-Lite's JSON."""


def libraries() -> "tuple[ModuleType, ModuleType, ModuleType]":
    """Return altair, jinja2 and vl_convert.

    Raises:
        MissingDependencyError: if one of them is not installed.
    """
    try:
        import altair
        import jinja2
        import vl_convert
    except ImportError as error:
        raise MissingDependencyError(
            f"a report as a page needs altair, jinja2 and vl-convert-python ({error}): "
            f"{install_command('report')}"
        ) from error
    return altair, jinja2, vl_convert


@functools.cache
def scripts() -> str:
    """Return the JavaScript that draws the figures: Vega, Vega-Lite and Vega-Embed."""
    return libraries()[2].javascript_bundle()


def bars(records: Sequence[Mapping[str, Any]], name: str, order: Sequence[str]) -> Spec:
    """Draw shares of several kinds, side by side for each name.

    Args:
        records: mappings with `name`'s value, `of` and `share`.
        name: the key that names a group of bars.
        order: the kinds, in their order.
    """
    alt = libraries()[0]
    chart = alt.Chart(alt.Data(values=list(records))).mark_bar()
    return (
        chart.encode(
            y=alt.Y(f"{name}:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
            x=alt.X("share:Q", title="share", axis=alt.Axis(format="%")),
            yOffset=alt.YOffset("of:N", sort=list(order)),
            color=alt.Color("of:N", sort=list(order), title=None, legend=alt.Legend(orient="top")),
            tooltip=[f"{name}:N", "of:N", alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(
            width="container",
            height=max(40, 24 * len({record[name] for record in records})),
        )
        .to_dict()
    )


def intervals(shares: Mapping[str, Proportion], title: str) -> Spec:
    """Draw shares with their 95 % intervals."""
    alt = libraries()[0]
    records = [
        {"name": name, "share": p.share, "low": p.low, "high": p.high, "of": p.total}
        for name, p in shares.items()
        if p.total
    ]
    base = alt.Chart(alt.Data(values=records)).encode(
        y=alt.Y("name:N", sort=None, title=title, axis=alt.Axis(labelLimit=220)),
        tooltip=[
            "name:N",
            *(alt.Tooltip(f"{key}:Q", format=".1%") for key in ("share", "low", "high")),
            alt.Tooltip("of:Q", title="attempts"),
        ],
    )
    scale = alt.Scale(domain=[0, 1])
    axis = alt.X("low:Q", title="accepted", axis=alt.Axis(format="%"), scale=scale)
    rule = base.mark_rule(strokeWidth=2).encode(x=axis, x2="high:Q")
    point = base.mark_point(filled=True, size=60).encode(x=alt.X("share:Q", scale=scale))
    return (rule + point).properties(width="container", height=max(40, 20 * len(records))).to_dict()


def matrices(joint: Mapping[str, np.ndarray], aus: Sequence[str]) -> list[tuple[str, Spec]]:
    """Draw co-occurrences, one beside the other, on one scale."""
    alt = libraries()[0]
    most = max((float(values.max()) for values in joint.values() if values.size), default=1.0)
    found = []
    for name, values in joint.items():
        records = [
            {"a": one, "b": other, "share": round(float(values[i, j]), 5)}
            for i, one in enumerate(aus)
            for j, other in enumerate(aus)
        ]
        chart = alt.Chart(alt.Data(values=records)).mark_rect()
        spec = chart.encode(
            x=alt.X("a:N", sort=list(aus), title=None),
            y=alt.Y("b:N", sort=list(aus), title=None),
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(domain=[0, max(most, 1e-6)]),
                legend=alt.Legend(format="%", title=None, orient="bottom", gradientLength=200),
            ),
            tooltip=["a:N", "b:N", alt.Tooltip("share:Q", format=".2%")],
        ).properties(width=230, height=230)
        found.append((name, spec.to_dict()))
    return found


def responses(records: Sequence[Mapping[str, Any]], aus: Sequence[str]) -> list[tuple[str, Spec]]:
    """Draw what was measured against what was asked, a figure for each AU."""
    alt = libraries()[0]
    found = []
    for au in aus:
        own = [dict(record) for record in records if record["AU"] == au]
        if not own:
            continue
        scale = alt.Scale(domain=[0, 5])
        base = alt.Chart(alt.Data(values=own)).encode(
            x=alt.X("asked:Q", title="asked", scale=scale, axis=alt.Axis(tickCount=5)),
            color=alt.Color("group:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=["group:N", "asked:Q", "measured:Q", "low:Q", "high:Q", "images:Q"],
        )
        band = base.mark_area(opacity=0.18).encode(
            y=alt.Y("low:Q", scale=scale, title="measured"), y2="high:Q"
        )
        line = base.mark_line(point=True).encode(y=alt.Y("measured:Q", scale=scale))
        ends = alt.Chart(alt.Data(values=[{"v": 0}, {"v": 5}]))
        equal = ends.mark_line(strokeDash=[4, 4], color="#888").encode(
            x=alt.X("v:Q", title="asked"), y="v:Q"
        )
        chart = (equal + band + line).properties(width=190, height=150)
        found.append((au, chart.to_dict()))
    return found


def levels(records: Sequence[Mapping[str, Any]]) -> Spec:
    """Draw how strong each AU is: shares of images by intensity, drawn, delivered, measured."""
    alt = libraries()[0]
    chart = alt.Chart(alt.Data(values=list(records))).mark_bar()
    return chart.encode(
        x=alt.X("AU:N", sort=None, title=None),
        y=alt.Y("share:Q", title="share of images", axis=alt.Axis(format="%")),
        xOffset=alt.XOffset("of:N", sort=["drawn", "delivered", "measured"]),
        color=alt.Color(
            "level:O", title="intensity", scale=alt.Scale(scheme="blues"),
            legend=alt.Legend(orient="top"),
        ),
        tooltip=["AU:N", "of:N", "level:O", alt.Tooltip("share:Q", format=".2%")],
    ).properties(width="container", height=240).to_dict()  # fmt: skip
