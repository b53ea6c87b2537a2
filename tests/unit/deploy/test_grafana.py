"""Dashboards as files: they are what the code builds, and can be read by somebody who was woken."""

from __future__ import annotations

import json

import pytest

from deploy.grafana.__main__ import FOLDER, documents

BOARDS = {name: json.loads(text) for name, text in documents().items()}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def test_the_files_are_what_the_code_builds():
    written = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    assert written == documents(), "run make dashboards"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_a_question_and_says_what_to_do(panel):
    assert "?" in panel["title"]
    assert len(panel["description"]) > 20
    assert panel["targets"]
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"]


def test_answers_are_words_and_sizes_have_units():
    panels = {panel["title"]: panel for board in BOARDS.values() for panel in board["panels"]}
    (mapping,) = panels["Does Redis answer?"]["fieldConfig"]["defaults"]["mappings"]
    assert {value: said["text"] for value, said in mapping["options"].items()} == {
        "0": "no",
        "1": "yes",
    }
    shown = {
        one["matcher"]["options"]: {p["id"]: p["value"] for p in one["properties"]}
        for one in panels["Which gateways are there?"]["fieldConfig"]["overrides"]
    }
    assert shown["Memory"] == {"unit": "bytes"}
    assert shown["CPU"] == {"unit": "percentunit"}
    assert shown["Ready"]["mappings"] == shown["Draining"]["mappings"] == [mapping]


def test_what_is_left_falls_while_more_is_used():
    (panel,) = [
        panel
        for panel in BOARDS["gateway.json"]["panels"]
        if panel["title"] == "How many files are left?"
    ]
    assert [t["expr"].partition("{")[0] for t in panel["targets"]] == ["process_max_fds"]
    assert " - process_open_fds{" in panel["targets"][0]["expr"]


@pytest.mark.parametrize("panel", PANELS)
def test_a_month_is_not_summed_up_for_each_point_of_a_curve(panel):
    for target in panel["targets"]:
        assert "[30d]" not in target["expr"] or target["instant"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_dashboard_leads_to_the_others_and_fits_the_grid(board):
    assert board["uid"].startswith("openline-")
    assert board["links"][0]["tags"] == board["tags"]
    assert {variable["name"] for variable in board["templating"]["list"]} >= {
        "datasource",
        "namespace",
    }
    assert [mark["name"] for mark in board["annotations"]["list"]] == ["Alerts", "Gateways leave"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def test_what_shows_gateways_opens_the_dashboard_of_one():
    linked = [
        panel["title"]
        for panel in BOARDS["fleet.json"]["panels"]
        if "openline-gateway" in json.dumps(panel.get("fieldConfig", {}))
        and "/d/openline-gateway" in json.dumps(panel)
    ]
    assert len(linked) >= 5
    assert BOARDS["gateway.json"]["uid"] == "openline-gateway"
