"""`fusion new-survey`: the files that describe a donor survey of one's own, drafted from its CSV file."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from fusion_pipeline.cli.root import console
from fusion_pipeline.errors import SettingsError
from fusion_pipeline.registry import Registry, load_registry
from fusion_pipeline.storage.atomic import atomic_directory


@click.command("new-survey")
@click.argument("name")
@click.option("--year", type=int, required=True, help="Year that the survey asks about.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Its CSV file.",
)
@click.option("--id", "id_column", required=True, help="Column with the household's key.")
@click.option("--weight", required=True, help="Column with the household's weight.")
@click.option("--recipient", default="2015", show_default=True, help="ACS year to fuse onto.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the drafts; default: NAME in small letters."
)
def new_survey(
    name: str, year: int, file: Path, id_column: str, weight: str, recipient: str, out: Path | None
) -> None:
    """Draft codebook, harmonies and registry entry of donor survey NAME; docs/your-own-survey.md goes on from there."""
    from fusion_pipeline.surveys.drafting import draft_survey

    registry = load_registry()
    registry.survey_year(recipient)
    _refuse_taken(registry, name, year)
    out = out or Path(name.lower())
    if out.exists():
        raise SettingsError(str(out), "is there already.", "Name another folder by --out, or remove it.")
    draft = draft_survey(name, year, file, id_column=id_column, weight=weight, recipient=recipient)
    with atomic_directory(out) as folder:
        for path, text in draft.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    for path in draft.files:
        console.print(f"{out / path}", soft_wrap=True, markup=False)
    for column, reason in draft.left_out.items():
        console.print(f"[yellow]![/] {escape(column)} is left out: it {escape(reason)}", soft_wrap=True)


def _refuse_taken(registry: Registry, name: str, year: int) -> None:
    """Refuse a name whose drafts, copied to their places, would replace files of a survey that is there."""
    names = {entry.survey for entry in (*registry.surveys.values(), *registry.recipients.values())}
    if name in names:
        raise SettingsError(
            f"survey {name}",
            f"is in the registry already: its harmonies, perhaps its codebook of {year}, would be overwritten.",
            "Choose another name; a new vintage of a survey is added to the files that it has.",
        )
