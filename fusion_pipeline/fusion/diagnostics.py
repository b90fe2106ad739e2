"""How well a donor and a recipient go together: common support, reach of the donors, and who is drawn how often.

Belongs here: `diagnose`, and watching draws. Does not belong here: comparing predictors (`support.py`), whether the
results are right (`validation/`), figures.

Fusion says nothing about households that no donor resembles, and assumes that, given the predictors, donors answer like
recipients (conditional independence). The second cannot be seen in the data; where the first fails can.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion.arguments import implicate_numbers, whole
from fusion_pipeline.fusion.chain import Chain, Drawn
from fusion_pipeline.fusion.modelset import ModelSet, open_model_set
from fusion_pipeline.fusion.recipient import BLOCK_ROWS, open_recipient
from fusion_pipeline.fusion.support import Source, common_support, poor_support
from fusion_pipeline.storage.tables import write_table

FAR = 0.99
"""A recipient is far from any centre beyond this quantile of the distances between neighbouring centres."""
MOST_VERY_FAR = 0.05
"""More records than this share at twice that distance are warned of."""
log = logging.getLogger(__name__)


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
    The columns of the tables are described in `common_support` and `watch_draws`. Predictors of poor support
    (`poor_support`) and steps with many recipients far from every donor (`far_recipients`) are warned of in the log.
    Memory does not grow with the recipient if it is a handle.

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
    opened = open_model_set("diagnose, models", models, FusingError)
    plan = opened.plan
    reach, use = watch_draws(recipient, opened, implicates=implicates, seed=seed, stream_name=stream_name)
    support = common_support(
        donor, recipient, plan.predictors, weight=plan.weight, recipient_weight=recipient_weight
    )
    _warn(support, reach)
    return Diagnostics(support, reach, use)


def far_recipients(reach: pd.DataFrame) -> list[str]:
    """Name the steps with more than `MOST_VERY_FAR` of the recipients very far from every centre."""
    return reach.loc[reach["very_far"] > MOST_VERY_FAR, "step"].tolist() if len(reach) else []


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
    numbers = implicate_numbers("diagnose, implicates", implicates, FusingError)
    seed = whole("diagnose, seed", seed, 0, FusingError)
    source = open_recipient(recipient, models, ())
    chain = Chain(models, seed, stream_name, numbers)
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
        self._counts += np.bincount(drawn.chosen[drawn.chosen >= 0], minlength=len(self._counts))
        rows = np.flatnonzero(drawn.active)
        if not len(rows):
            return
        pools = drawn.pools[0]
        distance = pools.tree.query(pools.place(drawn.expected[0][rows, :, 0]))[0]
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


def _effective(counts: np.ndarray) -> float:
    squares = float((counts.astype(np.float64) ** 2).sum())
    return float(counts.sum()) ** 2 / squares if squares else 0.0


def _warn(support: pd.DataFrame, reach: pd.DataFrame) -> None:
    for name in poor_support(support):
        row = support.set_index("predictor").loc[name]
        log.warning(
            "predictor %s is poorly supported: overlap %.2f, %.1f %% of recipients beyond donors, means %.2f sd apart",
            name, row["overlap"], 100 * row["outside"], abs(row["difference"]),
        )  # fmt: skip
    for name in far_recipients(reach):
        share = float(reach.loc[reach["step"] == name, "very_far"].iloc[0])
        log.warning("step %s: %.1f %% of recipients are far from every donor", name, 100 * share)
