"""Cut the README's figure out of the demo's report: `make images`, after `make demo`."""

import base64
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "data" / "simulated" / "reports" / "RECS_2015__ACS_2015.html"


def main() -> None:
    """Write docs/images/estimates.png, the report's first figure."""
    if not REPORT.exists():
        sys.exit(f"{REPORT.relative_to(ROOT)} does not exist: run `make demo` first.")
    first = re.search(r'src="data:image/png;base64,([^"]+)"', REPORT.read_text())
    if first is None:
        sys.exit(f"{REPORT.relative_to(ROOT)} holds no figure.")
    image = ROOT / "docs" / "images" / "estimates.png"
    image.parent.mkdir(exist_ok=True)
    image.write_bytes(base64.b64decode(first.group(1)))


if __name__ == "__main__":
    main()
