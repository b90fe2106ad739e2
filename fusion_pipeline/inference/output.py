"""Estimates: the tidy table with what has to be known to read it, its exports, figure and map.

Belongs here: what a user does with results. Does not belong here: how they come about (`analyze.py`), drawing
(`mapping/`, `validation/figures.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.text import as_text

if TYPE_CHECKING:
    from fusion_pipeline.mapping.boundaries import Boundaries

FORMATS = (".csv", ".parquet", ".dta", ".xlsx", ".tex", ".md")


@dataclass(frozen=True)
class Estimates:
    """Results of `analyze`."""

    table: pd.DataFrame
    """One row a group, estimand and level; columns as in `analyze`."""
    by: tuple[str, ...]
    """Its group columns."""
    level: float
    """Confidence level of the margins."""
    rule: str
    """Pooling rule."""
    implicates: int
    notes: tuple[str, ...] = field(default=())
    """What a reader has to know, in sentences."""
    variance: str = ""
    """What the variance within an implicate rests on, such as "80 replicate weights"."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.table)

    def __repr__(self) -> str:
        """Show the table as text, and the notes."""
        head = f"{self.implicates} implicates, rule {self.rule}, margins at {100 * self.level:g} %"
        return "\n".join([head, self.table.to_string(), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"{self.table.to_html(index=False)}{notes}"

    def only(self, estimand: str | None = None, level: str | None = None) -> Estimates:
        """Keep one estimand, one level.

        Raises
        ------
        AnalysisError
            If there is none such, listing those there are.
        """
        table = self.table
        for column, value in (("estimand", estimand), ("level", level)):
            if value is None:
                continue
            if value not in set(table[column].dropna()):
                there = ", ".join(map(str, table[column].dropna().unique()))
                raise AnalysisError(f"{column} {value}", "is not in the results.", f"Choose one of: {there}.")
            table = table[table[column] == value]
        table = table.reset_index(drop=True)
        return Estimates(table, self.by, self.level, self.rule, self.implicates, self.notes, self.variance)

    def write(self, path: Path | str) -> Path:
        """Write the table in the format of the file's ending: .csv, .parquet, .dta, .xlsx, .tex or .md.

        Raises
        ------
        AnalysisError
            If the ending is none of these.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise AnalysisError(
                str(path), "has no ending known here.", f"Choose one of: {', '.join(FORMATS)}."
            )
        with atomic_file(path) as temporary:
            if path.suffix == ".csv":
                self.table.to_csv(temporary, index=False)
            elif path.suffix == ".parquet":
                self.table.to_parquet(temporary)
            elif path.suffix == ".dta":
                _stata(self.table).to_stata(temporary, write_index=False, version=118)
            elif path.suffix == ".xlsx":
                self._excel(temporary)
            else:
                text = self.to_latex() if path.suffix == ".tex" else self.to_markdown()
                temporary.write_text(text, encoding="utf-8")
        return path

    def to_markdown(self) -> str:
        """Write groups, estimand, level, estimate with margin, and n as a Markdown table, notes below."""
        head, rows = self._words()
        lines = [head, ["---"] * len(head), *rows]
        text = "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        return "\n\n".join([text, self._caption(), *map(_line, self.notes)]) + "\n"

    def to_latex(self) -> str:
        """Write the same as a LaTeX tabular."""
        head, rows = self._words()
        body = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in rows]
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{'l' * len(head)}}}",
                r"\hline",
                " & ".join(_latex(cell) for cell in head) + r" \\",
                r"\hline",
                *body,
                r"\hline",
                r"\end{tabular}",
                *(f"% {note}" for note in [self._caption(), *map(_line, self.notes)]),
                "",
            ]
        )

    def plot(self, *, title: str = "") -> bytes:
        """Draw one estimand by group with its margins, as PNG. Choose one with `only` first.

        Raises
        ------
        AnalysisError
            If several estimands or levels are in the table, or there are no groups.
        """
        from fusion_pipeline.validation import figures

        self._one("plotted")
        return figures.estimates(self.table, list(self.by), level=self.level, title=title or None)

    def map(
        self,
        path: Path | str,
        *,
        estimate: str | None = None,
        level: str | None = None,
        boundaries: Boundaries | Path | str | None = None,
        title: str = "",
        unit: str = "",
        source: str = "",
    ) -> Path:
        """Draw one estimand and its margin of error by state, or by state and PUMA.

        Parameters
        ----------
        path : `.png` (both side by side) or `.html` (a page on which one points at areas; needs no network)
        estimate, level : the estimand and the level of a category, where the table has several
        boundaries : a cartographic boundary file of the Census Bureau (zipped shapefile) or GeoJSON, or one that was
            read; without it a grid of tiles
        title, unit, source : written on the map; the title is the estimand unless given

        Raises
        ------
        AnalysisError
            As `plot`, if groups are no places, or the ending is another.
        GeographyError
            If boundaries are damaged, of another PUMA definition, or lack an area that has an estimate.
        """
        from fusion_pipeline.mapping import finding, tiles, writing
        from fusion_pipeline.mapping.boundaries import read_boundaries
        from fusion_pipeline.mapping.choropleth import choropleth, place_columns

        chosen = self.only(estimate, level)
        chosen._one("mapped")
        column = place_columns(self.by)[-1]
        if isinstance(boundaries, (str, Path)):
            boundaries = read_boundaries(Path(boundaries))
        elif boundaries is None:
            pumas = () if column == "state" else finding.pairs(chosen.table, column)
            boundaries = tiles.tiles(column, pumas)
        words = {"title": title, "unit": unit, "source": source}
        return writing.write_map(Path(path), choropleth(chosen.table, boundaries, level=self.level, **words))

    def _one(self, verb: str) -> None:
        kinds = self.table[["estimand", "level"]].drop_duplicates()
        if len(kinds) != 1 or not self.by:
            raise AnalysisError(
                "estimates",
                f"cannot be {verb}: {len(kinds)} estimands and levels, groups {', '.join(self.by) or 'none'}.",
                "Choose one with `only(estimand, level)`, of an analysis by groups; of a category ask "
                "for one level, such as mean(x = 'Yes').",
            )

    def _caption(self) -> str:
        return (
            f"± margin of error at {100 * self.level:g} %; {self.implicates} implicates, rule {self.rule}. "
            "Fused records are true of populations, not of persons."
        )

    def _words(self) -> tuple[list[str], list[list[str]]]:
        words = [*self.by, "estimand", *(["level"] if self.table["level"].notna().any() else [])]
        rows = [
            [*(_line(as_text(row[w])) for w in words), as_text(row["estimate"]), f"±{as_text(row['margin'])}",
             as_text(row["n"]), row["source"]]
            for row in self.table.to_dict("records")
        ]  # fmt: skip
        return [*words, "estimate", "margin", "n", "source"], rows

    def _excel(self, path: Path) -> None:
        about = [self._caption(), *self.notes]
        with pd.ExcelWriter(path, engine="openpyxl") as writer:
            self.table.to_excel(writer, sheet_name="estimates", index=False)
            pd.DataFrame({"about": about}).to_excel(writer, sheet_name="about", index=False)


def _stata(table: pd.DataFrame) -> pd.DataFrame:
    """Make names and types that Stata knows: text instead of mixed columns, numbers without infinity."""
    columns: dict[str, pd.Series] = {}
    for name in table.columns:
        short = _stata_name(str(name), columns)
        values = table[name]
        if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
            columns[short] = pd.Series(["" if pd.isna(v) else str(v) for v in values], dtype=object)
        else:
            columns[short] = values.where(values.abs() != float("inf"))
    return pd.DataFrame(columns)


def _stata_name(name: str, taken: Collection[str]) -> str:
    """Make a name of 32 letters, digits and _, another one where two begin alike."""
    plain = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in name)
    plain = f"_{plain}" if plain[:1].isdigit() else plain
    ends = itertools.chain([""], (f"_{k}" for k in itertools.count(2)))
    tries = (f"{plain[: 32 - len(end)]}{end}" for end in ends)
    return next(short for short in tries if short not in taken)


def _line(text: str) -> str:
    """Make one line of what was written on several."""
    return " ".join(text.split())


def _latex(text: str) -> str:
    marks: Sequence[tuple[str, str]] = (
        ("\\", r"\textbackslash "), ("&", r"\&"), ("%", r"\%"), ("$", r"\$"), ("#", r"\#"), ("_", r"\_"),
        ("{", r"\{"), ("}", r"\}"), ("~", r"\textasciitilde "), ("^", r"\textasciicircum "), ("±", r"$\pm$"),
    )  # fmt: skip
    return "".join(dict(marks).get(sign, sign) for sign in text)
