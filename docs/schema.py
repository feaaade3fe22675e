"""Write hepda/analysis.schema.json, the JSON schema of the analysis file for editors. A test compares the two."""

from __future__ import annotations

import json

from hepda.config import json_schema
from hepda.editors import SCHEMA


def schema_text() -> str:
    """Return the schema as the file has it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
