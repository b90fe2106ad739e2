"""Where every artefact lies under the data folder.

Belongs here: path rules, and nothing that opens a file. One rule for tables: the asset's key is the folder,
the partition is the name. Implicates, model sets and reports have folders of their own because people open
them by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below one root (one origin of raw files: simulated or public)."""

    root: Path

    @property
    def origin(self) -> str:
        """Where the raw files come from: `simulated` or `public`."""
        return self.root.name

    @property
    def other(self) -> Layout:
        """Layout of the artefacts of the other origin, which never mix with these."""
        return Layout(self.root.with_name("public" if self.origin == "simulated" else "simulated"))

    def table(self, asset: Sequence[str], partition: str | None = None) -> Path:
        """Path of an asset's only table, `survey/households/RECS_2015.parquet`."""
        folder = self.root.joinpath(*asset)
        return folder.with_suffix(".parquet") if partition is None else folder / f"{partition}.parquet"

    def tables(self, asset: Sequence[str], partition: str) -> Path:
        """Folder of an asset with a donor's and a recipient's table, `fusion/prepared/<pair>/`."""
        return self.root.joinpath(*asset) / partition

    def plan(self, pair: str) -> Path:
        """Fusion plan of a pair."""
        return self.root / "fusion" / "plan" / f"{pair}.json"

    def model_set(self, pair: str) -> Path:
        """Model set of a pair, a directory."""
        return self.root / "models" / pair

    def implicates(self, pair: str) -> Path:
        """Dataset of a pair's implicates: `implicate=07/part-0.parquet` below it."""
        return self.root / "implicates" / pair

    def implicate(self, pair: str, implicate: int) -> Path:
        """One implicate's Parquet file."""
        return self.implicates(pair) / f"implicate={implicate:02d}" / "part-0.parquet"

    def marginals(self, pair: str) -> Path:
        """Marginals of a pair's implicates, held against its donors'."""
        return self.root / "fusion" / "marginals" / f"{pair}.parquet"

    def area_error(self, pair: str) -> Path:
        """Area errors of a pair, measured on proxies."""
        return self.root / "quality" / "area_error" / f"{pair}.json"

    def internal(self, pair: str) -> Path:
        """Internal validation of a pair, a directory of tables."""
        return self.root / "quality" / "internal" / pair

    def report(self, pair: str) -> Path:
        """Report of a pair, one HTML file."""
        return self.root / "reports" / f"{pair}.html"

    def dictionary_page(self, kind: str, key: str) -> Path:
        """Dictionary of a survey-year, pool or ACS year (`kind`: survey, pool or acs), one HTML file."""
        return self.root / "dictionaries" / f"{'ACS_' if kind == 'acs' else ''}{key}.html"

    def receipt(self, asset: Sequence[str], partition: str | None = None) -> Path:
        """Receipt of an artefact, `.receipts/fusion/implicates/<pair>/01-05.json`."""
        return self._told(".receipts", asset, partition)

    def findings(self, asset: Sequence[str], partition: str | None = None) -> Path:
        """What was found when an artefact's tables were last checked, `.checks/survey/households/RECS_2015.json`."""
        return self._told(".checks", asset, partition)

    def _told(self, about: str, asset: Sequence[str], partition: str | None) -> Path:
        folder = self.root.joinpath(about, *asset)
        if partition is None:
            return folder.with_name(f"{folder.name}.json")
        *pair, last = partition.split("|")
        return folder.joinpath(*pair, f"{last}.json")

    def by_hand(self, asset: Sequence[str], partition: str) -> list[Path]:
        """Files and folders of an asset that is not a table: plan, model set, chunk of implicates, area error, internal
        validation, report.
        """
        pair, _, chunk = partition.partition("|")
        match asset[-1]:
            case "plan":
                return [self.plan(pair)]
            case "models":
                return [self.model_set(pair)]
            case "implicates":
                first, last = chunk.split("-")
                return [self.implicate(pair, m) for m in range(int(first), int(last) + 1)]
            case "area_error":
                return [self.area_error(pair)]
            case "internal":
                return [self.internal(pair)]
            case "report":
                return [self.report(pair)]
            case "dictionary_page":
                return [self.dictionary_page(asset[0], partition)]
        raise KeyError(f"{'/'.join(asset)} is a table, or has no place in the layout")

    @property
    def simulated_raw(self) -> Path:
        """Mirror folder into which the simulated surveys are written."""
        return self.root / "raw"

    @property
    def download_cache(self) -> Path:
        """Cache of official downloads, kept beside the origins because it outlives them."""
        return self.root.parent / "cache"
