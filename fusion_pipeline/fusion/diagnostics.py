"""How well a donor and a recipient go together: common support, reach of the donors, and who is drawn how often.

Belongs here: the tables that tell it, computed block by block. Does not belong here: whether the results are right
(`validation/`), figures.

Fusion says nothing about households that no donor resembles, and assumes that, given the predictors, donors answer like
recipients (conditional independence). The second cannot be seen in the data; where the first fails can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import FusingError, TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.chain import Chain, Drawn
from fusion_pipeline.fusion.modelset import ModelSet, load_model_set
from fusion_pipeline.fusion.recipient import BLOCK_ROWS, open_recipient
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.storage.tables import TableRef, write_table

LEAST_OVERLAP = 0.8
"""Less of two distributions in common is poor support; also the similarity below which a harmony is doubtful."""
MOST_OUTSIDE = 0.01
"""More recipients than this share beyond every donor is poor support."""
MOST_DIFFERENCE = 0.5
"""Standardised difference beyond which adjustment by a model rests on extrapolation (Rubin 2001: half an sd)."""
GRID, BINS = 1000, 20
"""Donor quantiles at which distribution functions are compared, and classes of about equal donor weight for overlap."""
FAR = 0.99
"""A recipient is far from any centre beyond this quantile of the distances between neighbouring centres."""
_ROWS = 1 << 17
Source: TypeAlias = pd.DataFrame | pa.Table | TableRef


@dataclass(frozen=True)
class Diagnostics:
    """The tables of `diagnose`; each has one row a predictor (`support`) or a step that draws donors."""

    support: pd.DataFrame
    reach: pd.DataFrame
    use: pd.DataFrame

    def write(self, folder: Path) -> None:
        """Write the tables to ``support.parquet``, ``reach.parquet`` and ``use.parquet``."""
        for name in ("support", "reach", "use"):
            write_table(Path(folder) / f"{name}.parquet", pa.Table.from_pandas(getattr(self, name)))


def diagnose(
    donor: Source,
    recipient: Source,
    models: ModelSet | Path | str,
    *,
    recipient_weight: str | None = None,
    implicates: int | Sequence[int] = 1,
    seed: int = 1,
    stream_name: str = "fusion",
) -> Diagnostics:
    """Say how well a recipient is supported by the donors of a model set, and how its implicates use them.

    Parameters
    ----------
    donor : frame, table or handle
        The model set was trained on it; needed for the predictors, which a model set does not hold.
    recipient : frame, table or handle
    models : ModelSet or its path
    recipient_weight : str, optional
        Column of weights of the recipient; without it every row counts the same.
    implicates, seed, stream_name
        Of the implicates that are looked at, as in `fuse`: the same draws are made again, and nothing is written.

    Returns
    -------
    Diagnostics

    Notes
    -----
    The columns of the tables are described in `common_support` and `watch_draws`. Memory does not grow with the
    recipient if it is a handle.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, recipient = fp.example_tables()
    >>> folder = tempfile.mkdtemp()
    >>> models = fp.train(donor, y=["size"], x=["group", "income"], weight="weight", out=folder, leaves=[4])
    >>> found = fp.diagnose(donor, recipient, models)
    >>> found.support["predictor"].tolist(), bool((found.support["overlap"] > 0.8).all())
    (['group', 'income'], True)
    >>> found.use[["step", "draws"]].values.tolist()
    [['size', 200]]
    """
    opened = models if isinstance(models, ModelSet) else load_model_set(Path(models))
    plan = opened.plan
    support = common_support(
        donor, recipient, plan.predictors, weight=plan.weight, recipient_weight=recipient_weight
    )
    reach, use = watch_draws(recipient, opened, implicates=implicates, seed=seed, stream_name=stream_name)
    return Diagnostics(support, reach, use)


def common_support(
    donor: Source,
    recipient: Source,
    predictors: Sequence[str],
    *,
    weight: str | None = None,
    recipient_weight: str | None = None,
) -> pd.DataFrame:
    """Compare the distribution of every predictor in donor and recipient.

    Returns
    -------
    One row a predictor: `predictor`, `kind`; `overlap`, the share that two histograms have in common (levels, or 20
    classes of about equal donor weight and two for what lies beyond all donors); `ks`, the largest difference of the
    distribution functions (None for unordered categories); `difference`, recipient minus donor mean in pooled standard
    deviations (of the level where it is largest); `outside`, the share of recipients beyond the smallest or largest
    donor or of a level that no donor has; `donor_missing`, `recipient_missing`. Shares are of weight.
    """
    table = variables.as_table(donor, _listed(predictors, weight), "donor", TrainingError)
    own = _weights(table, weight)
    compared = []
    for name in predictors:
        variable = variables.describe(table[name], name, "donor", TrainingError)
        grid = None if variable.kind == "categorical" else _grid(variables.numbers(table[name])[own > 0])
        compared.append((variable, grid, _Tally.of(table[name], variable, grid, own)))
    found = [_Tally.empty(variable, grid) for variable, grid, _ in compared]
    for block in _blocks(recipient, _listed(predictors, recipient_weight)):
        mass = _weights(block, recipient_weight)
        for position, (variable, grid, _) in enumerate(compared):
            found[position] += _Tally.of(block[variable.name], variable, grid, mass)
    rows = [
        _compare(variable, mine, theirs) for (variable, _, mine), theirs in zip(compared, found, strict=True)
    ]
    return pd.DataFrame(rows)


def poor_support(support: pd.DataFrame) -> list[str]:
    """Name the predictors whose support is poor by `LEAST_OVERLAP`, `MOST_OUTSIDE` or `MOST_DIFFERENCE`."""
    poor = (
        (support["overlap"] < LEAST_OVERLAP)
        | (support["outside"] > MOST_OUTSIDE)
        | (support["difference"].abs() > MOST_DIFFERENCE)
    )
    return support.loc[poor, "predictor"].tolist()


def watch_draws(
    recipient: Source,
    models: ModelSet,
    *,
    implicates: int | Sequence[int] = 1,
    seed: int = 1,
    stream_name: str = "fusion",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw implicates again and watch how far recipients are from donors and which donors they get.

    Returns
    -------
    reach : one row a step that draws donors: `step`; `centres`; `spacing`, the 99 % quantile of the distance of a
        centre to the next one in scaled conditional expectations; `far`, the share of records farther than that
        from every centre; `very_far`, farther than twice that; `farthest`, in spacings, and `farthest_row`, the
        recipient's row.
    use : `step`; `draws`; `donors` in any pool; `used`; `effective`, (sum c)^2 / sum c^2 of the draws c of each donor;
        `possible`, the same of the donors' weights; `largest_share` of a donor in the draws.
    """
    numbers = list(range(1, implicates + 1)) if isinstance(implicates, int) else list(implicates)
    source = open_recipient(recipient, models, ())
    chain = Chain(models, seed, stream_name)
    watchers: dict[str, _Watcher] = {}
    for number, block in enumerate(source.blocks()):
        for m in numbers:

            def watch(drawn: Drawn, block: int = number) -> None:
                if drawn.pools:
                    watcher = watchers.setdefault(drawn.step.name, _Watcher(drawn, models.donors.num_rows))
                    watcher.see(drawn, block)

            chain.run(source.features(block), number, [m], source.lookup(block), watch)
    reach = pd.DataFrame([{"step": name, **w.reach()} for name, w in watchers.items()])
    return reach, pd.DataFrame([{"step": name, **w.use()} for name, w in watchers.items()])


class _Watcher:
    """Distances and draws of one step, summed up."""

    def __init__(self, drawn: Drawn, donors: int) -> None:
        pools = drawn.pools[0]
        centres = pools.tree.data
        self._spacing = 0.0
        if len(centres) > 1:
            next_one = pools.tree.query(centres, [2])[0][:, 0]
            self._spacing = float(np.quantile(next_one, FAR))
        self._centres, self._members = len(centres), pools.members
        self._possible = _effective(pools.weight[self._members])
        self._counts = np.zeros(donors, dtype=np.int64)
        self._records = self._far = self._very_far = 0
        self._farthest, self._row = 0.0, -1

    def see(self, drawn: Drawn, block: int) -> None:
        """Take in what a block drew for one implicate."""
        assert drawn.expected is not None
        self._counts += np.bincount(drawn.chosen[drawn.chosen >= 0], minlength=len(self._counts))
        rows = np.flatnonzero(drawn.active)
        if not len(rows):
            return
        pools = drawn.pools[0]
        distance = pools.tree.query(pools.place(drawn.expected[rows, :, 0]))[0]
        self._records += len(rows)
        self._far += int((distance > self._spacing).sum())
        self._very_far += int((distance > 2 * self._spacing).sum())
        if distance.max() > self._farthest:
            self._farthest = float(distance.max())
            self._row = block * BLOCK_ROWS + int(rows[distance.argmax()])

    def reach(self) -> dict[str, float]:
        """Return the step's row of `reach`."""
        records = max(self._records, 1)
        return {
            "centres": self._centres,
            "spacing": self._spacing,
            "far": self._far / records,
            "very_far": self._very_far / records,
            "farthest": self._farthest / self._spacing if self._spacing else np.nan,
            "farthest_row": self._row,
        }

    def use(self) -> dict[str, float]:
        """Return the step's row of `use`."""
        draws = int(self._counts.sum())
        return {
            "draws": draws,
            "donors": len(self._members),
            "used": int((self._counts > 0).sum()),
            "effective": _effective(self._counts),
            "possible": self._possible,
            "largest_share": float(self._counts.max() / draws) if draws else 0.0,
        }


@dataclass
class _Tally:
    """Weight in every bin, and sums: what is needed of a column, whatever its length."""

    bins: np.ndarray
    outside: float
    missing: float
    sums: np.ndarray

    @classmethod
    def empty(cls, variable: Variable, grid: np.ndarray | None) -> _Tally:
        size = variable.classes if grid is None else len(grid) + 1
        return cls(np.zeros(size), 0.0, 0.0, np.zeros(2))

    @classmethod
    def of(
        cls, column: pa.ChunkedArray, variable: Variable, grid: np.ndarray | None, mass: np.ndarray
    ) -> _Tally:
        tally = cls.empty(variable, grid)
        absent = variables.missing(column)
        tally.missing = float(mass[absent].sum())
        if grid is None:
            codes = variables.codes(column, variable)
            tally.bins = np.bincount(codes[codes >= 0], mass[codes >= 0], minlength=variable.classes)
            tally.outside = float(mass[(codes < 0) & ~absent].sum())
            return tally
        values, mass = variables.numbers(column)[~absent], mass[~absent]
        # Bin i: above grid[i - 1], up to grid[i]. The first and the last bin are beyond all donors.
        tally.bins = np.bincount(np.searchsorted(grid, values, side="left"), mass, minlength=len(grid) + 1)
        tally.outside = float(tally.bins[0] + tally.bins[-1])
        tally.sums = np.array([mass @ values, mass @ values**2])
        return tally

    def __iadd__(self, other: _Tally) -> _Tally:
        self.bins = self.bins + other.bins
        self.outside += other.outside
        self.missing += other.missing
        self.sums = self.sums + other.sums
        return self


def _listed(names: Sequence[str], weight: str | None) -> list[str]:
    return list(dict.fromkeys([*names, *([] if weight is None else [weight])]))


def _weights(table: pa.Table, name: str | None) -> np.ndarray:
    return np.ones(table.num_rows) if name is None else np.nan_to_num(variables.numbers(table[name]))


def _blocks(source: Source, columns: list[str]) -> Iterator[pa.Table]:
    if isinstance(source, TableRef):
        yield from source.batches(_ROWS, columns)
    else:
        yield variables.as_table(source, columns, "recipient", FusingError)


def _grid(values: np.ndarray) -> np.ndarray:
    """Return increasing values that bins end at: every donor value, and the number just below it.

    A distribution function jumps at the values: it is to be known on either side of them.
    """
    known = np.unique(values[~np.isnan(values)])
    if not len(known):
        return np.array([np.inf])
    if len(known) > GRID:
        known = np.unique(np.quantile(values[~np.isnan(values)], np.linspace(0, 1, GRID), method="lower"))
    return np.unique(np.concatenate([np.nextafter(known, -np.inf), known]))


def _overlap(p: np.ndarray, q: np.ndarray) -> float:
    """Return what two histograms share, fine bins joined to classes of about equal weight in the first."""
    classes = np.ceil(np.cumsum(p) * BINS - 1e-9).astype(np.int64)
    # What lies beyond all donors is nobody's class.
    classes[0], classes[-1] = 0, BINS + 1
    return float(np.minimum(np.bincount(classes, p), np.bincount(classes, q)).sum())


def _standardised(difference: float, variance: float) -> float:
    return float(difference / np.sqrt(variance)) if variance > 0 else (0.0 if difference == 0 else np.inf)


def _effective(counts: np.ndarray) -> float:
    squares = float((counts.astype(np.float64) ** 2).sum())
    return float(counts.sum()) ** 2 / squares if squares else 0.0


def _compare(variable: Variable, ours: _Tally, theirs: _Tally) -> dict[str, object]:
    is_number = variable.kind != "categorical"
    # Levels no donor has are in no bin, numbers beyond all donors are.
    total = [max(t.bins.sum() + (0 if is_number else t.outside), 1e-300) for t in (ours, theirs)]
    p, q = ours.bins / total[0], theirs.bins / total[1]
    if is_number:
        overlap = _overlap(p, q)
        means = [t.sums[0] / n for t, n in zip((ours, theirs), total, strict=True)]
        variance = [
            max(t.sums[1] / n - m**2, 0.0) for t, n, m in zip((ours, theirs), total, means, strict=True)
        ]
        difference = _standardised(means[1] - means[0], sum(variance) / 2)
    else:
        overlap = float(np.minimum(p, q).sum())
        each = [_standardised(b - a, (a * (1 - a) + b * (1 - b)) / 2) for a, b in zip(p, q, strict=True)]
        difference = max(each, key=abs, default=0.0)
    ks = None if variable.is_nominal else float(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    return {
        "predictor": variable.name,
        "kind": variable.kind,
        "overlap": overlap,
        "ks": ks,
        "difference": difference,
        "outside": theirs.outside / total[1],
        "donor_missing": ours.missing / max(ours.missing + total[0], 1e-300),
        "recipient_missing": theirs.missing / max(theirs.missing + total[1], 1e-300),
    }
