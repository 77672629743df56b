import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("callmood-*.whl")
    return path


def test_the_wheel_carries_the_model_the_calls_the_page_and_the_rules_and_nothing_of_training(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "monitor/alerts/default_rules.toml" in names
    assert {"emotion.onnx", "agent_desktop.html", "calls/calm.flac", "calls/growing_anger.flac"} <= {
        name.removeprefix("monitor/data/") for name in names
    }
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"monitor"}


@pytest.mark.timeout(600)
def test_the_demo_runs_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    binaries = tmp_path / "empty" / "bin"
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", wheel], check=True, capture_output=True)
    done = subprocess.run(
        [binaries / "callmood", "demo", "--pace", "fast", "--port", "0"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "websocket: ws://127.0.0.1:" in done.stdout
    ended = [line.split(":")[0] for line in done.stdout.splitlines() if ", alerts: " in line]
    assert sorted(ended) == ["calm", "growing_anger", "sad", "won_back"]
