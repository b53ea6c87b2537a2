"""A real Prometheus of a test's own: scrapes what it is told, with the shipped configuration's jobs and rules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
import yaml

from deploy.local.ports import free_port
from tests.support.stack import Stack
from tests.support.tied import tied
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "prometheus"


class Program:
    """A process with a port of its own that is ready when `path` answers 200."""

    def __init__(self, folder: Path, name: str, *, path: str) -> None:
        self.folder = folder
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *command: str) -> Self:
        """Run it until `stop`; returns when it is ready."""
        found = shutil.which(command[0])
        assert found, f"{command[0]} is not installed: scripts/setup.sh deploy"
        with (self.folder / f"{self.name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [found, *command[1:]], stdout=log, stderr=log, cwd=self.folder, preexec_fn=tied
            )
        wait_until(self._ready, timeout=30)
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / f"{self.name}.log").read_text()
        try:
            return httpx2.get(self.url + self._path, timeout=2).status_code == 200
        except httpx2.TransportError:
            return False


class Prometheus(Program):
    """Prometheus' API, as far as tests ask it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "prometheus", path="/-/ready")
        self.began = time.time()

    def run(
        self, targets: Mapping[str, Sequence[str]], *, rules: Path, interval: str = "1s"
    ) -> Self:
        """Scrape these addresses by the shipped configuration's jobs, under the rules of a folder."""
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(_configuration(targets, rules, interval)), encoding="utf-8")
        data = self.folder / "prometheus"
        self.began = time.time()
        return self.start(
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--query.lookback-delta=10s",
            "--log.level=warn",
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an expression now."""
        return self._result("query", query=expression)

    def value(self, expression: str) -> float | None:
        """The only sample of an expression now; None when there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression}: {found}"
        return float(found[0]["value"][1]) if found else None

    def over(self, expression: str, *, step: float = 1) -> list[dict[str, Any]]:
        """The series of an expression since the start."""
        return self._result(
            "query_range", query=expression, start=self.began, end=time.time(), step=step
        )

    def firing(self) -> set[str]:
        """Names of the alerts that fire now; one of an objective is followed by its name."""
        labels = [a["labels"] for a in self._get("alerts")["alerts"] if a["state"] == "firing"]
        return {f"{label['alertname']} {label.get('slo', '')}".strip() for label in labels}

    def names(self) -> set[str]:
        """Every metric's name that was ever stored."""
        names: list[str] = self._get("label/__name__/values")
        return set(names)

    def down(self) -> list[str]:
        """Targets that cannot be scraped, each with why."""
        return [
            f"{target['scrapePool']} {target['scrapeUrl']}: {target['lastError']}"
            for target in self._get("targets")["activeTargets"]
            if target["health"] != "up"
        ]

    def _result(self, call: str, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(call, **parameters)["result"]
        return found

    def _get(self, call: str, **parameters: Any) -> Any:
        answer = httpx2.get(f"{self.url}/api/v1/{call}", params=parameters, timeout=15)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]


def exporters(stack: Stack, folder: Path) -> dict[str, Program]:
    """The exporters of Redis and nginx beside a running stack, by job."""
    redis = Program(folder, "redis-exporter", path="/metrics")
    nginx = Program(folder, "nginx-exporter", path="/metrics")
    return {
        "openline-redis": redis.start(
            "prometheus-redis-exporter",
            f"-redis.addr={stack.run['redis']}",
            f"-web.listen-address=127.0.0.1:{redis.port}",
        ),
        "openline-nginx": nginx.start(
            "prometheus-nginx-exporter",
            f"-nginx.scrape-uri={stack.run['nginx_status']}",
            f"-web.listen-address=127.0.0.1:{nginx.port}",
        ),
    }


def targets(stack: Stack, beside: Mapping[str, Program]) -> dict[str, list[str]]:
    """What there is to scrape of a running stack, by job."""
    run = stack.run
    urls = {
        "openline-gateway": run["gateways"],
        "openline-auth": [run["auth"]],
        "openline-publisher": [run["publisher"]],
        **{job: [program.url] for job, program in beside.items()},
    }
    return {job: [url.removeprefix("http://") for url in found] for job, found in urls.items()}


def scaled_rules(target: Path, *, by: float, least: int = 4) -> Path:
    """A copy of the shipped rules in which every duration is divided by `by`, but no shorter than `least` seconds."""
    target.mkdir()
    for source in sorted((SHIPPED / "rules").glob("*.yml")):
        text = source.read_text("utf-8")
        text = re.sub(r"\[(\d+)([smhd])\]", lambda m: f"[{_scaled(m, by, least)}s]", text)
        text = re.sub(r"\bfor: (\d+)([smhd])", lambda m: f"for: {_scaled(m, by, 1)}s", text)
        (target / source.name).write_text(text, encoding="utf-8")
    return target


def _scaled(found: re.Match[str], by: float, least: int) -> int:
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]
    return max(least, round(seconds / by))


def _configuration(
    targets: Mapping[str, Sequence[str]], rules: Path, interval: str
) -> dict[str, Any]:
    shipped: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))
    jobs = [job for job in shipped["scrape_configs"] if job["job_name"] in targets]
    assert {job["job_name"] for job in jobs} == set(targets)
    for job in jobs:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    every = {
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "evaluation_interval": interval,
    }
    return {
        "global": every,
        "rule_files": [os.fspath(rules / "*.yml")],
        "scrape_configs": jobs,
    }
