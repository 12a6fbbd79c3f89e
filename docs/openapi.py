"""Write docs/openapi.json, the OpenAPI document that the server serves: python docs/openapi.py"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from webapp import create_app, docs  # noqa: E402


def main() -> None:
    """Write it."""
    app = create_app()
    with app.test_request_context():
        text = json.dumps(docs.document(), indent=1, ensure_ascii=False)
    (ROOT / "docs" / "openapi.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
