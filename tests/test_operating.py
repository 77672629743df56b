"""What the manual of operators names is there."""

import re
from pathlib import Path

from monitor.settings import Settings
from tests.benchmarks.soak_faults import NAMES, Faults

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "operating.md").read_text()


def test_its_metrics_are_those_of_the_node() -> None:
    named = set(re.findall(r"`(callmood_[a-z_]+)`", TEXT))
    told = set(re.findall(r'"(callmood_[a-z_]+)"', (ROOT / "monitor" / "metrics.py").read_text()))
    assert named
    assert named <= told


def test_its_settings_are_settings() -> None:
    toml = Settings().to_toml()
    for name in ("when_late", "late_s", "max_calls", "queue_s"):
        assert f"`{name}`" in TEXT
        assert f"\n{name} = " in toml


def test_every_fault_of_the_soak_is_there() -> None:
    assert all(callable(getattr(Faults, name)) for name in NAMES)
