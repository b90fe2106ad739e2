"""One HTML page that needs nothing else: what all pages of the project have in common.

Belongs here: the head of every page, and the look of those made of text and tables (`validation/report.py`,
`surveys/dictionary_page.py`). Does not belong here: what a page says, and the style of what only it has; a map has
one of its own (`mapping/page.py`). No outside address; the same content gives the same bytes.
"""

from __future__ import annotations

from html import escape


def html_page(title: str, style: str, body: str, policy: str = "") -> str:
    """Return a page of its title, style sheet and the lines of its body.

    `policy` says what the page may load; without it the browser's own rules hold.
    """
    allowed = f'\n<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{allowed}
<title>{escape(title)}</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def page_style(own: str, *, width: str, text: str, below_title: str, colours: str = "") -> str:
    """Return the style sheet of a page.

    Parameters
    ----------
    own : str
        Rules of what only this page has.
    width, text, below_title : str
        Of the page; size and height of its lines; space below the title: in units of CSS.
    colours : str
        Custom properties beside `--ink`, `--muted`, `--line` and `--accent`, such as ``"--soft: #f2f8fb; "``.
    """
    return f"""
:root {{ --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --accent: #0b6e99; {colours}}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: {width}; color: var(--ink);
  font: {text} Helvetica Neue, Helvetica, Arial, sans-serif; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 {below_title}; }}
h2 {{ font-size: 1.25rem; margin: 3rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }}
{own.strip()}
""".strip()
