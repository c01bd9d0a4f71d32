"""Alerts, dashboard, runbooks and the list of metrics: each says what the others say."""

import json
import re
import subprocess

import pytest
import yaml

from objects import DEPLOY, ROOT

ALERTS = DEPLOY / "prometheus/alerts.yaml"
CASES = DEPLOY / "prometheus/alerts.test.yaml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana/pursekeeper.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RUNBOOKS = ROOT / "docs/OPERATIONS.md"

#: Labels that are not ours: of the scrape, and of Prometheus itself.
SCRAPED = {"job", "instance", "namespace", "pod", "alertname", "alertstate", "severity"}
#: What the issue asks to be seen: a word of the panel's title, and a metric that it shows.
SHOWN = [
    ("Decisions by code", "pursekeeper_decisions_total"),
    ("Calls", "pursekeeper_request_duration_seconds_bucket"),
    ("Stages", "pursekeeper_stage_duration_seconds_bucket"),
    ("Spend against ceilings", "pursekeeper_ceiling_used_ratio"),
    ("Exposure", "pursekeeper_exposure_usd"),
    ("Revocation latency", "pursekeeper_stop_duration_seconds_bucket"),
    ("Commit", "pursekeeper_commit_duration_seconds_bucket"),
    ("Size", "pursekeeper_journal_bytes"),
    ("Behind", "pursekeeper_sink_lag_seconds"),
    ("Reloads", "pursekeeper_reloads_total"),
    ("Ready", "pursekeeper_ready"),
]


def promtool(*args, cwd=None):
    return subprocess.run(["promtool", *args], capture_output=True, text=True, cwd=cwd)


def listed():
    """Metric -> the labels that may be used of it."""
    lines = (DEPLOY / "prometheus/metrics.txt").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    assert words == sorted(words), "the list is in order"
    return {name: set(labels) for name, *labels in words}


def plain(expression):
    """A query of the dashboard as Prometheus gets it."""
    expression = expression.replace("$__rate_interval", "5m")
    return re.sub(r"\$(namespace|pod)\b", ".*", expression)


def queries():
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def expressions():
    """Every query of alerts and dashboard."""
    return [rule["expr"] for rule in RULES] + [plain(query) for query in queries()]


def used(expression):
    """Metric -> the labels by which it is chosen."""
    found = {}
    for name, chosen in re.findall(r"\b(pursekeeper_[a-z_]+)(\{[^}]*\})?", expression):
        found.setdefault(name, set()).update(re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"', chosen))
    return found


def test_the_alerts_are_sound():
    checked = promtool("check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_when_they_must_and_only_then():
    checked = promtool("test", "rules", CASES.name, cwd=CASES.parent)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_that_never_fires_is_noticed(rule, tmp_path):
    rules = yaml.safe_load(ALERTS.read_text())
    for group in rules["groups"]:
        for other in group["rules"]:
            if other["alert"] == rule["alert"]:
                other["expr"] = f"({rule['expr']}) and on() vector(0) > 1"
    (tmp_path / ALERTS.name).write_text(yaml.safe_dump(rules))
    cases = yaml.safe_load(CASES.read_text())
    # Only those that expect it: the others are not about it.
    cases["tests"] = [case for case in cases["tests"] if rule["alert"] in yaml.safe_dump(case)]
    assert cases["tests"], "no case expects it"
    (tmp_path / CASES.name).write_text(yaml.safe_dump(cases))
    assert promtool("test", "rules", CASES.name, cwd=tmp_path).returncode != 0


def test_the_scrape_is_sound(tmp_path):
    """Debian's Prometheus is built without Kubernetes: its part is looked at here, and promtool checks the rest."""
    (job,) = yaml.safe_load((DEPLOY / "prometheus/scrape.yaml").read_text())["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    job["static_configs"] = [{"targets": ["127.0.0.1:9465"]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    checked = promtool("check", "config", tmp_path / "prometheus.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # Alerts name the job; it keeps what manifests call sidecar and port.
    assert any(f'job="{job["job_name"]}"' in rule["expr"] for rule in RULES)
    assert job["relabel_configs"][0]["regex"] == "pursekeeper;health"


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_alert_says_how_bad_it_is_and_has_a_runbook(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    heading = f"### Alert: {rule['alert']}"
    anchor = "alert-" + rule["alert"].lower()
    assert rule["annotations"]["runbook_url"] == f"docs/OPERATIONS.md#{anchor}"
    text = RUNBOOKS.read_text().splitlines()
    assert text.count(heading) == 1, f"docs/OPERATIONS.md has no `{heading}`"
    below = text[text.index(heading) + 1 :]
    written = "\n".join(below[: next((at for at, line in enumerate(below) if line.startswith("#")), None)])
    assert len(written.split()) >= 20, "a runbook says what it means, what to look at, and what to do"


def test_every_runbook_has_an_alert():
    headings = re.findall(r"^### Alert: (\S+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in RULES)


def test_the_list_of_metrics_is_what_is_used():
    names = {name for expression in expressions() for name in used(expression)}
    assert names == set(listed())


def test_metrics_are_chosen_by_labels_that_they_have():
    for expression in expressions():
        for name, labels in used(expression).items():
            assert labels - SCRAPED <= listed()[name], expression


def test_sums_are_by_labels_that_somebody_has():
    known = SCRAPED | {label for labels in listed().values() for label in labels}
    for expression in expressions():
        for labels in re.findall(r"\b(?:by|without) \(([^)]*)\)", expression):
            assert {label.strip() for label in labels.split(",")} <= known, expression


def test_counters_are_never_shown_as_they_are():
    """A counter is a number since start: without `rate` or `increase` it says when the process began."""
    for query in queries():
        for name in re.findall(r"pursekeeper_[a-z_]+(?:_total|_bucket|_count|_sum)\b", query):
            assert re.search(rf"(?:rate|increase)\([^()]*{name}", query), query


def test_every_query_of_the_dashboard_is_promql(tmp_path):
    rules = [{"record": f"query:{at}", "expr": plain(query)} for at, query in enumerate(queries())]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "queries.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_shows_what_it_must():
    for title, metric in SHOWN:
        (panel,) = [panel for panel in PANELS if panel["title"] == title]
        assert any(metric in target["expr"] for target in panel["targets"]), title


def test_the_dashboard_is_one_that_grafana_reads():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert DASHBOARD["uid"] == "pursekeeper" and DASHBOARD["schemaVersion"] >= 36
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "namespace", "pod"}
    for panel in PANELS:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert set(re.findall(r"\$([a-z]+)", target["expr"])) <= variables, target["expr"]
            assert '{namespace=~"$namespace",pod=~"$pod"' in target["expr"], target["expr"]
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label in SCRAPED or any(label in labels for labels in listed().values()), label


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
