"""The contract in documents made from the message types: JSON Schema and AsyncAPI 3.

`python -m monitor.contract docs` writes both into a folder.
"""

import sys
from pathlib import Path

from monitor.asyncapi import asyncapi_yaml
from monitor.schema import schema_json


def main(folder: Path) -> None:
    """Write `schema_v1.json` and `asyncapi.yaml` into `folder`."""
    (folder / "schema_v1.json").write_text(schema_json(), encoding="utf-8")
    (folder / "asyncapi.yaml").write_text(asyncapi_yaml(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
