"""Fusing: implicates of the fusion variables for every row of a recipient.

Belongs here: splitting work into row blocks and implicates, and what is done with them. Does not belong here: the
steps of a block (`chain.py`), blocks on disk (`parts.py`), checks of the recipient (`recipient.py`).

The recipient is cut into blocks of `recipient.BLOCK_ROWS` rows, and a draw's random numbers belong to (seed,
variable, implicate, block). How blocks and implicates are shared out over calls, threads and memory therefore
changes nothing. What a step predicts from the recipient's own columns is predicted once for all implicates.

Written implicates go to disk block by block as they are drawn, and become one file each when all blocks are there: a
call that is cut off loses the blocks in work, and no more.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import FusingError, StorageError
from fusion_pipeline.fusion.arguments import implicate_numbers, path, text, whole
from fusion_pipeline.fusion.chain import Chain
from fusion_pipeline.fusion.modelset import ModelSet, open_model_set
from fusion_pipeline.fusion.parts import Parts
from fusion_pipeline.fusion.program import TOGETHER
from fusion_pipeline.fusion.recipient import BLOCK_ROWS, Recipient, open_recipient
from fusion_pipeline.logs import progress_level
from fusion_pipeline.storage.tables import TableRef

VERSION = "2"
"""Raised when the same model set, recipient and seed would give other implicates."""
IMPLICATES_AT_ONCE = TOGETHER
"""Implicates drawn side by side, of which all parts are on disk before their files are made."""
_T = TypeVar("_T")
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
        Folder for ``implicate=07/part-0.parquet``. Implicates and row blocks that are there already, from the same
        model set, recipient and settings, are kept: an interrupted call is resumed by repeating it.
    retain : sequence of str, optional
        Columns of the recipient that are written before the fusion variables; without it those of `year` and `hid`
        that it has.
    threads : int
    memory_limit : int
        Bytes that models, donors and blocks in work may take. Neither this nor `threads` changes the result.
    stream_name : str
        Name of the random stream, usually the fusion pair.
    resume : bool
        Keep what is finished in `out`; else draw all of it again.

    Returns
    -------
    Table with column `implicate` (int16), the retained columns and the fusion variables in fusion order, rows in
    recipient order within an implicate; or `out`.

    Raises
    ------
    FusingError
        If the recipient does not fit the model set, or an argument makes no sense; the message names it.
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
    opened = open_model_set("fuse, models", models, FusingError)
    numbers = implicate_numbers("fuse, implicates", implicates, FusingError)
    seed = whole("fuse, seed", seed, 0, FusingError)
    threads = whole("fuse, threads", threads, 1, FusingError)
    memory_limit = whole("fuse, memory_limit", memory_limit, 1, FusingError)
    stream_name = text("fuse, stream_name", stream_name, FusingError)
    out = None if out is None else path("fuse, out", out, FusingError)
    source = open_recipient(recipient, opened, retain)
    chain = Chain(opened, seed, stream_name, numbers)
    draw = partial(_draw_blocks, source, chain, threads, _left(memory_limit, chain, source, threads))
    if out is None:
        collected: dict[int, list[pa.Table]] = {m: [] for m in numbers}
        for m, table in draw(lambda _: numbers, lambda _, m, table: (m, table)):
            collected[m].append(table)
        wholes = []
        for m in numbers:
            whole_one = pa.concat_tables(collected.pop(m))
            count = whole_one.num_rows
            wholes.append(whole_one.add_column(0, "implicate", pa.array(np.full(count, m, dtype=np.int16))))
        return pa.concat_tables(wholes)
    base = {
        "engine": VERSION,
        "model_set": opened.fingerprint,
        "recipient": source.digest,
        "retain": list(source.retain),
        "seed": seed,
        "stream": stream_name,
    }
    provenance = {m: _provenance(base | {"implicate": m}) for m in numbers}
    pending = [m for m in numbers if not (resume and _is_finished(out, m, provenance[m]))]
    if len(pending) < len(numbers):
        log.info("%d of %d implicates are there already and kept", len(numbers) - len(pending), len(numbers))
    # In order, so that two calls wait for each other in one direction only.
    pending.sort()
    for start in range(0, len(pending), IMPLICATES_AT_ONCE):
        _write_group(
            out, pending[start : start + IMPLICATES_AT_ONCE], provenance, source, draw, threads, resume
        )
    return out


def _left(memory_limit: int, chain: Chain, source: Recipient, threads: int) -> int:
    """Return what models and donors leave of a memory limit to the blocks in work.

    Raises
    ------
    FusingError
        If that is less than one implicate of a block takes on every thread.
    """
    block = (threads + 1) * min(BLOCK_ROWS, source.rows) * chain.bytes_per_row
    if memory_limit < chain.fixed_bytes + block:
        raise FusingError(
            "fuse, memory_limit",
            f"is {memory_limit:,} bytes; models and donors take {chain.fixed_bytes:,}, and the smallest blocks of "
            f"{threads} threads {block:,}.",
            f"Give {chain.fixed_bytes + block:,} or more, or fewer threads.",
        )
    return memory_limit - chain.fixed_bytes


def _write_group(
    out: Path,
    group: Sequence[int],
    provenance: Mapping[int, dict[str, Any]],
    source: Recipient,
    draw: Callable[..., Iterator[None]],
    threads: int,
    resume: bool,
) -> None:
    """Draw the blocks of some implicates that are not there, then make their files."""
    with ExitStack() as stack:
        parts = {}
        for m in group:
            key = f"{provenance[m]['fingerprint'][:16]}-{BLOCK_ROWS}"
            mine = Parts(implicate_file(out, m), key)
            stack.enter_context(mine.alone())
            # Another call may have made it while this one waited.
            if resume and _is_finished(out, m, provenance[m]):
                mine.clear()
            else:
                mine.clear(others=resume)
                parts[m] = mine
        there = {m: mine.blocks() for m, mine in parts.items()}
        if kept := sum(map(len, there.values())):
            log.info("%d of %d row blocks are there already", kept, len(parts) * source.block_count)
        for _ in draw(
            lambda block: [m for m in parts if block not in there[m]],
            lambda block, m, table: parts[m].add(block, table),
        ):
            pass
        with ThreadPoolExecutor(threads) as pool:
            joined = [
                pool.submit(mine.join, source.block_count, provenance[m], BLOCK_ROWS)
                for m, mine in parts.items()
            ]
            for future in joined:
                future.result()
    log.info("wrote implicates %s to %s", ", ".join(map(str, group)), out)


def implicate_file(out: Path, implicate: int) -> Path:
    """Return where an implicate lies: `implicate=07/part-0.parquet`."""
    return out / f"implicate={implicate:02d}" / "part-0.parquet"


def _draw_blocks(
    source: Recipient,
    chain: Chain,
    threads: int,
    memory_limit: int,
    wanted: Callable[[int], Sequence[int]],
    deliver: Callable[[int, int, pa.Table], _T],
) -> Iterator[_T]:
    """Draw for every block the implicates `wanted` of it; yield what `deliver` (block, implicate, table) returns.

    Blocks come in order for every implicate; `deliver` is called on the thread that drew.
    """
    share = memory_limit // (threads + 1)
    rows = min(BLOCK_ROWS, source.rows)
    most = int(np.clip(share // (rows * chain.bytes_per_row), 1, TOGETHER))
    unseen: dict[tuple[str, str], int] = {}

    def work(number: int, block: pa.Table, part: Sequence[int]) -> list[_T]:
        values = chain.run(source.features(block), number, part, source.lookup(block))
        kept = block.select(list(source.retain))
        return [deliver(number, m, _join(kept, columns)) for m, columns in zip(part, values, strict=True)]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[_T]]] = deque()
        for number, block in enumerate(source.blocks()):
            for key, count in source.unseen(block).items():
                unseen[key] = unseen.get(key, 0) + count
            implicates = wanted(number)
            # Few blocks: threads get implicates of one and the same block.
            at_once = min(most, max(1, -(-len(implicates) // -(-threads // source.block_count))))
            for start in range(0, len(implicates), at_once):
                waiting.append(pool.submit(work, number, block, implicates[start : start + at_once]))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            if (number + 1) % 10 == 0:
                log.log(
                    progress_level(),
                    "block %d of %d, %d implicates",
                    number + 1,
                    source.block_count,
                    len(implicates),
                )
        while waiting:
            yield from waiting.popleft().result()
    for rules, count in sorted(chain.enforced.items()):
        log.info("rule `%s`: %d values were drawn again", rules, count)
    for (name, level), count in sorted(unseen.items()):
        log.warning(
            "recipient, column %s: level %r is unknown to the donor; missing in %d rows", name, level, count
        )


def _join(kept: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    fields = {name: kept[name] for name in kept.column_names} | columns
    return pa.table(fields)


def _provenance(content: dict[str, Any]) -> dict[str, Any]:
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return content | {"fingerprint": fingerprint}


def _is_finished(out: Path, implicate: int, provenance: dict[str, Any]) -> bool:
    file = implicate_file(out, implicate)
    try:
        return file.exists() and TableRef(file).provenance == provenance
    except StorageError:
        log.warning("%s is damaged and made again", file)
        return False
