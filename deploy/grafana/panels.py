"""The few kinds of panels that the dashboards are made of: a question, what answers it, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "openline"
GATEWAY = "openline-gateway"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

Queries = Mapping[str, str]
"""Expressions by the legend of their series."""

Steps = Sequence[tuple[float, str]]
"""Colours from a value up; below the first it is green."""

LATE: Steps = ((0.1, "yellow"), (0.25, "red"))
ANY: Steps = ((1e-9, "red"),)
SHARE: Steps = ((0.7, "yellow"), (0.85, "red"))

_YES_NO = models.ValueMap(
    {"0": models.ValueMappingResult(text="no"), "1": models.ValueMappingResult(text="yes")}
)


def number(
    question: str,
    expression: str,
    *,
    help: str,
    unit: str = "short",
    steps: Steps = (),
    low: Steps = (),
    legend: str = "",
    width: int = 4,
    now: bool = False,
    yes_no: bool = False,
) -> stat.Panel:
    """One big number. `low`: colours for numbers that are bad when small, the first from the bottom. `now`: without the
    curve behind it, for what is dear to compute again for each of its points. `yes_no`: 1 and 0 are answers.
    """
    query = _query("A", expression, legend)
    panel = (
        stat.Panel()
        .title(question)
        .description(help)
        .datasource(SOURCE)
        .unit(unit)
        .no_value("none")
        .height(4)
        .span(width)
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(low or steps, from_bottom=bool(low)))
        .with_target(query.instant() if now else query.range())
    )
    if yes_no:
        panel.mappings([_YES_NO])
    if legend:
        panel.text_mode(common_models.BigValueTextMode.VALUE_AND_NAME)
    return panel


def graph(
    question: str,
    queries: Queries,
    *,
    help: str,
    unit: str = "short",
    steps: Steps = (),
    width: int = 8,
    stacked: bool = False,
    to_gateway: bool = False,
) -> timeseries.Panel:
    """Series over time. `to_gateway`: a click on one opens the dashboard of its gateway."""
    panel = (
        timeseries.Panel()
        .title(question)
        .description(help)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .no_value("none")
        .height(8)
        .span(width)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
        .thresholds(_thresholds(steps))
    )
    if steps:
        mode = common_models.GraphThresholdsStyleMode.DASHED
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(mode))
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if to_gateway:
        panel.data_links([_to_gateway()])
    for letter, (legend, expression) in zip("ABCDEFGH", queries.items(), strict=False):
        panel.with_target(_query(letter, expression, legend).range())
    return panel


def listing(
    question: str,
    columns: Queries,
    *,
    help: str,
    hidden: Sequence[str],
    units: Mapping[str, str],
    yes_no: Sequence[str],
    width: int = 24,
) -> table.Panel:
    """A table with a row for each instance; `columns` are expressions by their headings, `units` theirs by the same.

    `yes_no`: the columns in which 1 and 0 are answers.
    """
    panel = (
        table.Panel()
        .title(question)
        .description(help)
        .datasource(SOURCE)
        .height(7)
        .span(width)
        .data_links([_to_gateway("${__data.fields.instance}")])
    )
    for heading, unit in units.items():
        panel.override_by_name(heading, [models.DynamicConfigValue("unit", unit)])
    for heading in yes_no:
        panel.override_by_name(heading, [models.DynamicConfigValue("mappings", [_YES_NO])])
    renamed = {}
    for letter, (heading, expression) in zip("ABCDEFGH", columns.items(), strict=False):
        query = _query(letter, expression, "").instant().format(PromQueryFormat.TABLE)
        panel.with_target(query)
        renamed[f"Value #{letter}"] = heading
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    organised = {"excludeByName": dict.fromkeys(["Time", *hidden], True), "renameByName": renamed}
    return panel.with_transformation(
        models.DataTransformerConfig(id_val="organize", options=organised)
    )


def board(
    title: str, *, uid: str, help: str, rows: Sequence[tuple[str, Sequence[Any]]], node: bool
) -> dashboard.Dashboard:
    """A dashboard: rows of panels under their headings. `node`: whether it can be narrowed down to some gateways."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(help)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Source").type("prometheus")
        )
        .with_variable(_choice("namespace", "Namespace", "openline_gateway_subscriptions"))
        .link(_links())
        .annotation(_mark("Alerts", 'ALERTS{alertstate="firing",alertname=~"Openline.*"}', "red"))
        .annotation(_mark("Gateways leave", "openline_gateway_draining == 1", "blue"))
    )
    if node:
        made.with_variable(_choice("node", "Gateway", "openline_gateway_build_info", "instance"))
    for heading, panels in rows:
        made.with_row(dashboard.Row(heading))
        for panel in panels:
            made.with_panel(panel)
    return made


def _choice(name: str, label: str, metric: str, of: str = "") -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(f"label_values({metric}, {of or name})")
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _mark(name: str, expression: str, color: str) -> dashboard.AnnotationQuery:
    """Something to see on every graph while it lasts."""
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .expr(expression)
        .icon_color(color)
    )


def _links() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Openline")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


def _to_gateway(node: str = "${__field.labels.instance}") -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("This gateway")
        .type(models.DashboardLinkType.LINK)
        .url(f"/d/{GATEWAY}?var-node={node}&${{__url_time_range}}")
    )


def _query(letter: str, expression: str, legend: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(letter)
        .datasource(SOURCE)
        .expr(expression)
        .legend_format(legend or "__auto")
    )


def _thresholds(steps: Steps, *, from_bottom: bool = False) -> dashboard.ThresholdsConfig:
    base = "red" if from_bottom else "green"
    found = [models.Threshold(value=None, color=base)]
    found += [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
