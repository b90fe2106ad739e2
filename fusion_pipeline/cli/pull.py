"""`fusion pull`: a finished fusion pair from the object store into the data folder."""

from __future__ import annotations

import click

from fusion_pipeline.cli.root import console
from fusion_pipeline.errors import SettingsError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.remote import Remote


@click.command()
@click.argument("pair")
def pull(pair: str) -> None:
    """Bring a fusion PAIR here that other machines made: implicates, report, and all that they were made from."""
    load_registry().pair(pair)
    settings = load_settings()
    if settings.shared is None:
        raise SettingsError(
            "FUSION_REMOTE", "is not set.", "Name the object store, such as s3://bucket/fusion."
        )
    layout, remote = Layout(settings.root), Remote(settings.shared)
    brought = remote.fetch_all(layout, "quality/report", pair)
    if not brought:
        raise SettingsError(
            settings.shared,
            f"has no report of {pair}.",
            f"Make it with `fusion run {pair}` on a machine that shares it.",
        )
    console.print(f"{len(brought)} artefacts from {settings.shared}", soft_wrap=True, markup=False)
    console.print(f"implicates  {layout.implicates(pair)}", markup=False)
    console.print(f"report      {layout.report(pair)}", markup=False)
