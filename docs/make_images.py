"""Cut the documents' figures out of the demo: `make images`, after `make demo` and `fusion validate`."""

import base64
import re
import sys
from pathlib import Path

from fusion_pipeline.validation.internal import Validation

ROOT = Path(__file__).parents[1]
PAIR = "RECS_2015__ACS_2015"
REPORT = ROOT / "data" / "simulated" / "reports" / f"{PAIR}.html"
VALIDATION = ROOT / "data" / "simulated" / "quality" / "internal" / PAIR


def main() -> None:
    """Write the report's first figure, and the figure of internal validation if it was made."""
    if not REPORT.exists():
        sys.exit(f"{REPORT.relative_to(ROOT)} does not exist: run `make demo` first.")
    first = re.search(r'src="data:image/png;base64,([^"]+)"', REPORT.read_text())
    if first is None:
        sys.exit(f"{REPORT.relative_to(ROOT)} holds no figure.")
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    (images / "estimates.png").write_bytes(base64.b64decode(first.group(1)))
    if VALIDATION.is_dir():
        figure = Validation.read(VALIDATION).figure(source=f"{PAIR}, simulated surveys")
        (images / "validation.png").write_bytes(figure)


if __name__ == "__main__":
    main()
