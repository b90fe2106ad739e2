"""Fusing: implicates of the fusion variables for every row of a recipient.

Belongs here: predictions, the order of steps within an implicate, splitting work, writing implicates. Does not
belong here: the draws (`drawing.py`), checks of the recipient (`recipient.py`), fitting (`training.py`).

The recipient is cut into blocks of `recipient.BLOCK_ROWS` rows, and a draw's random numbers belong to (seed,
variable, implicate, block). How blocks and implicates are shared out over calls, threads and memory therefore
changes nothing. What a step predicts from the recipient's own columns is predicted once for all implicates.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fusion_pipeline.errors import FusingError, StorageError
from fusion_pipeline.fusion.chain import Chain
from fusion_pipeline.fusion.modelset import ModelSet, load_model_set
from fusion_pipeline.fusion.program import TOGETHER
from fusion_pipeline.fusion.recipient import BLOCK_ROWS, Recipient, open_recipient
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import TableRef, encode

VERSION = "2"
"""Raised when the same model set, recipient and seed would give other implicates."""
IMPLICATES_AT_ONCE = TOGETHER
"""Implicates written side by side: what is finished after a kill comes in groups of this many."""
log = logging.getLogger(__name__)


def fuse(
    recipient: pd.DataFrame | pa.Table | TableRef,
    models: ModelSet | Path,
    *,
    implicates: int | Sequence[int],
    seed: int = 1,
    out: Path | None = None,
    retain: Sequence[str] | None = None,
    threads: int = 1,
    memory_limit: int = 2 << 30,
    stream_name: str = "fusion",
    resume: bool = True,
) -> pa.Table | Path:
    """Draw implicates of all fusion variables for a recipient.

    Parameters
    ----------
    recipient : frame, table or handle
        Must have every predictor of the model set, of the donor's kind. A handle is read block by block.
    models : ModelSet or its path
    implicates : int or sequence of int
        M for implicates 1..M, or the numbers (1-based) of those wanted.
    seed : int
    out : Path, optional
        Folder for ``implicate=07/part-0.parquet``. Implicates that are there already, from the same model set,
        recipient and settings, are kept: an interrupted call is resumed by repeating it.
    retain : sequence of str, optional
        Columns of the recipient that are written before the fusion variables; without it those of `year` and `hid`
        that it has.
    threads : int
    memory_limit : int
        Bytes that blocks in work may take. Neither this nor `threads` changes the result.
    stream_name : str
        Name of the random stream, usually the fusion pair.
    resume : bool
        Keep the implicates in `out` that are finished; else draw all of them again.

    Returns
    -------
    Table with column `implicate` (int16), the retained columns and the fusion variables in fusion order, rows in
    recipient order within an implicate; or `out`.

    Raises
    ------
    FusingError
        If the recipient does not fit the model set; the message names the column.
    StorageError
        If the model set is damaged or `out` cannot be written.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, recipient = fp.example_tables()
    >>> folder = tempfile.mkdtemp()
    >>> models = fp.train(donor, y=["size"], x=["group", "income"], weight="weight", out=folder, leaves=[4])
    >>> fused = fp.fuse(recipient, models, implicates=2)
    >>> fused.column_names, fused.num_rows
    (['implicate', 'year', 'hid', 'size'], 400)
    """
    opened = models if isinstance(models, ModelSet) else load_model_set(Path(models))
    numbers = _numbers(implicates)
    source = open_recipient(recipient, opened, retain)
    chain = Chain(opened, seed, stream_name)
    if out is None:
        collected: dict[int, list[pa.Table]] = {m: [] for m in numbers}
        for _, m, table in _fused_blocks(source, chain, numbers, threads, memory_limit):
            collected[m].append(table)
        parts = []
        for m in numbers:
            whole = pa.concat_tables(collected.pop(m))
            parts.append(
                whole.add_column(0, "implicate", pa.array(np.full(whole.num_rows, m, dtype=np.int16)))
            )
        return pa.concat_tables(parts)
    out = Path(out)
    base = {
        "engine": VERSION,
        "model_set": opened.fingerprint,
        "recipient": source.digest,
        "retain": list(source.retain),
        "seed": seed,
        "stream": stream_name,
    }
    provenance = {m: _provenance(base | {"implicate": m}) for m in numbers}
    finished = {m for m in numbers if resume and _is_finished(implicate_file(out, m), provenance[m])}
    pending = [m for m in numbers if m not in finished]
    if finished:
        log.info("%d of %d implicates are there already and kept", len(finished), len(numbers))
    for start in range(0, len(pending), IMPLICATES_AT_ONCE):
        group = pending[start : start + IMPLICATES_AT_ONCE]
        with ExitStack() as stack:
            writers: dict[int, pq.ParquetWriter] = {}
            folders = {m: stack.enter_context(atomic_directory(implicate_file(out, m).parent)) for m in group}
            for _, m, table in _fused_blocks(source, chain, group, threads, memory_limit):
                encoded = encode(table, provenance[m])
                if m not in writers:
                    file = folders[m] / implicate_file(out, m).name
                    writers[m] = stack.enter_context(
                        pq.ParquetWriter(file, encoded.schema, compression="zstd")
                    )
                writers[m].write_table(encoded, row_group_size=BLOCK_ROWS)
        log.info("wrote implicates %s to %s", ", ".join(map(str, group)), out)
    return out


def implicate_file(out: Path, implicate: int) -> Path:
    """Return where an implicate lies: `implicate=07/part-0.parquet`."""
    return out / f"implicate={implicate:02d}" / "part-0.parquet"


def _fused_blocks(
    source: Recipient, chain: Chain, implicates: Sequence[int], threads: int, memory_limit: int
) -> Iterator[tuple[int, int, pa.Table]]:
    """Yield (block, implicate, table), blocks in order for every implicate."""
    threads = max(1, threads)
    share = memory_limit // (threads + 1)
    rows = min(BLOCK_ROWS, source.rows)
    at_once = int(np.clip(share // (rows * chain.bytes_per_row), 1, min(TOGETHER, len(implicates))))
    # Few blocks: threads get implicates of one and the same block.
    at_once = min(at_once, -(-len(implicates) // -(-threads // source.block_count)))
    parts = [implicates[i : i + at_once] for i in range(0, len(implicates), at_once)]
    unseen: dict[tuple[str, str], int] = {}

    def work(number: int, block: pa.Table, part: Sequence[int]) -> list[tuple[int, int, pa.Table]]:
        values = chain.run(source.features(block), number, part, source.lookup(block))
        kept = block.select(list(source.retain))
        return [(number, m, _join(kept, columns)) for m, columns in zip(part, values, strict=True)]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[tuple[int, int, pa.Table]]]] = deque()
        for number, block in enumerate(source.blocks()):
            for key, count in source.unseen(block).items():
                unseen[key] = unseen.get(key, 0) + count
            for part in parts:
                waiting.append(pool.submit(work, number, block, part))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            if (number + 1) % 10 == 0:
                log.info(
                    "block %d of %d, implicates %d-%d",
                    number + 1,
                    source.block_count,
                    implicates[0],
                    implicates[-1],
                )
        while waiting:
            yield from waiting.popleft().result()
    for text, count in sorted(chain.enforced.items()):
        log.info("rule `%s`: %d values were drawn again", text, count)
    for (name, level), count in sorted(unseen.items()):
        log.warning(
            "recipient, column %s: level %r is unknown to the donor; missing in %d rows", name, level, count
        )


def _join(kept: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    fields = {name: kept[name] for name in kept.column_names} | columns
    return pa.table(fields)


def _numbers(implicates: int | Sequence[int]) -> list[int]:
    numbers = list(range(1, implicates + 1)) if isinstance(implicates, int) else [int(m) for m in implicates]
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise FusingError(
            "fuse, implicates",
            f"is {implicates!r}.",
            "Give how many (1 or more), or distinct 1-based numbers.",
        )
    return numbers


def _provenance(content: dict[str, object]) -> dict[str, object]:
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return content | {"fingerprint": fingerprint}


def _is_finished(file: Path, provenance: dict[str, object]) -> bool:
    try:
        return file.exists() and TableRef(file).provenance == provenance
    except StorageError:
        log.warning("%s is damaged and made again", file)
        return False
