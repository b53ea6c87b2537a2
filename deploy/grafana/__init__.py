"""Grafana's dashboards: built by code, written as JSON, provisioned from files."""
