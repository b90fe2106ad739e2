"""The CEI from raw files to consumer units: amounts are the truth, and what is wrong with a file is said by name."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fusion_pipeline.errors import IngestError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate import simulate_folders
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report, match_records
from fusion_pipeline.surveys.panel import pool_households, pool_persons

REGISTRY = load_registry()
POOL = REGISTRY.pools["CEI_2015-2019"]
CODEBOOK = load_codebook(POOL.codebook)
DONORS = 300
FLOWS = [name for name, summary in CODEBOOK.households.summaries.items() if summary.of == "expenditures"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cei") / "raw"
    simulate_folders(out, [y.lower() for y in POOL.years], households=500, donors=DONORS, seed=5)
    return out


def parts_of(key: str, archive: Path) -> dict[str, list[RawPart]]:
    files = REGISTRY.surveys[key].files
    return {role: [RawPart(archive, (), file.member)] for role, file in files.items()}


def ingested(key: str, archive: Path, kind: str = "households"):
    parts = parts_of(key, archive)
    return ingest_with_report(parts[kind], load_codebook(REGISTRY.surveys[key].codebook), kind, parts)


def archive_of(mirror: Path, key: str) -> Path:
    vintage = REGISTRY.surveys[key]
    return mirror / vintage.folder / vintage.files["households"].name


@pytest.fixture(scope="module")
def years(mirror) -> dict[str, pa.Table]:
    """Interviews by survey-year, the few missing answers filled by the first level."""
    found = {}
    for key in POOL.years:
        table, _ = ingested(key, archive_of(mirror, key))
        column = table["cntralac"].combine_chunks()
        filled = pa.DictionaryArray.from_arrays(pc.fill_null(column.indices, 0), column.dictionary)
        found[key] = table.set_column(table.column_names.index("cntralac"), "cntralac", filled)
    return found


@pytest.fixture(scope="module")
def pool(years):
    return pool_households(years, CODEBOOK, seed=1, stream_name="test")


@pytest.fixture(scope="module")
def truth(mirror) -> pd.DataFrame:
    parts = [pd.read_parquet(mirror / "truth" / f"{key.lower()}.parquet") for key in POOL.years]
    return pd.concat(parts).set_index("hid")


def test_every_consumer_unit_with_two_interviews_is_there_once(pool, truth) -> None:
    table, report = pool
    expected = truth.index[truth["interviews"] >= CODEBOOK.panel.least]
    assert sorted(table["hid"].to_pylist()) == sorted(expected)
    assert report.dropped == int((truth["interviews"] == 1).sum())
    assert report.interviews == int(truth["interviews"].sum())
    incomplete = truth["interviews"].value_counts()
    assert report.completed == {2: incomplete[2], 3: incomplete[3]}


def test_a_year_of_four_interviews_is_what_was_spent_at_prices_of_2019(pool, truth) -> None:
    table, _ = pool
    households = table.to_pandas().set_index("hid")
    whole = truth.index[truth["interviews"] == 4]
    for category in FLOWS:
        told, spent = households.loc[whole, category], truth.loc[whole, category]
        # Whole dollars of amounts in cents.
        assert np.abs(told - spent).max() <= 0.52, category


def test_drawn_quarters_keep_the_mean_of_what_is_bought_always(pool, truth) -> None:
    table, _ = pool
    households = table.to_pandas().set_index("hid")
    partly = truth.index[truth["interviews"].isin([2, 3])]
    for category in ("eathome", "intphn", "elec", "rent"):
        drawn, spent = households.loc[partly, category], truth.loc[partly, category]
        assert drawn.mean() == pytest.approx(spent.mean(), rel=0.06), category


def test_weights_add_up_to_households_and_half_samples_to_no_more(pool) -> None:
    table, _ = pool
    weight = table["weight"].to_numpy()
    assert weight.sum() == pytest.approx(129.5e6, rel=0.02)
    replicates = np.stack([table[f"rep_{r}"].to_numpy() for r in range(1, 45)])
    assert (replicates == 0).mean(axis=1) == pytest.approx(np.full(44, 0.5), abs=0.12)
    assert replicates.sum(axis=1).mean() == pytest.approx(weight.sum(), rel=0.03)


def test_members_count_once(mirror, years, pool) -> None:
    table, _ = pool
    members = {}
    for key in POOL.years:
        everyone, _ = ingested(key, archive_of(mirror, key), "persons")
        persons = load_codebook(REGISTRY.surveys[key].codebook).persons
        members[key], _ = match_records(everyone, years[key], persons, "persons")
    people = pool_persons(members, years, table, CODEBOOK).to_pandas()
    households = table.to_pandas().set_index("hid")
    assert not people.duplicated(["hid", "pid"]).any()
    assert people.groupby("hid").size().to_dict() == households["fam_size"].to_dict()
    heads = people[people["pid"] == 1].set_index("hid")
    assert (heads["age"] == households["age_ref"].loc[heads.index]).all()
    assert (people["weight"].to_numpy() == households.loc[people["hid"], "weight"].to_numpy()).all()


def test_interview_in_two_survey_years_is_refused(years) -> None:
    first, second, *_ = POOL.years
    twice = years[second].slice(0, 1)
    with pytest.raises(IngestError, match="1 interviews occur in more than one survey-year"):
        both = {first: pa.concat_tables([years[first], twice]), second: years[second]}
        pool_households(both, CODEBOOK, seed=1, stream_name="test")


def edited(mirror: Path, tmp_path: Path, member: str, change) -> Path:
    """Copy the archive of 2015 with a member's rows changed; None: the member left out."""
    source = archive_of(mirror, "CEI_2015")
    target = tmp_path / source.name
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            text = before.read(name).decode()
            if name.endswith(member):
                if change is None:
                    continue
                rows = list(csv.DictReader(io.StringIO(text)))
                change(rows)
                out = io.StringIO()
                writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
                text = out.getvalue()
            after.writestr(name, text)
    return target


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("fmli153.csv", None, r"has no member \*fmli153.csv"),
        ("mtbi161.csv", None, r"has no member \*mtbi161.csv"),
        (
            "mtbi152.csv",
            lambda rows: rows[0].update(UCC="999999"),
            "column UCC: '999999' in 1 rows has no meaning",
        ),
        ("fmli154.csv", lambda rows: rows.append(rows[0]), "2 rows share their key"),
        (
            "fmli152.csv",
            lambda rows: rows[0].update(FAM_SIZE="", FAM__IZE="Z"),
            "column FAM_SIZE: 'Z' in 1 rows",
        ),
        (
            "fmli152.csv",
            lambda rows: rows[0].update(WTREP07="x"),
            "column WTREP07: 'x' in 1 rows is not a number",
        ),
        ("mtbi153.csv", lambda rows: rows[0].update(COST=""), "column COST: '' in 1 rows is blank"),
        (
            "mtbi153.csv",
            lambda rows: rows[0].update(REF_YR="2034"),
            "column REF_YR: 2034 in 1 rows is out of range",
        ),
        (
            "fmli152.csv",
            lambda rows: rows[0].update(QINTRVYR="1815"),
            "column QINTRVYR: '1815' in 1 rows stands for no factor.*Add it to the table",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_name(mirror, tmp_path, member, change, message) -> None:
    with pytest.raises(IngestError, match=message):
        ingested("CEI_2015", edited(mirror, tmp_path, member, change))


def test_blank_answers_are_skips_or_missing_as_their_flags_say(mirror, tmp_path) -> None:
    def change(rows) -> None:
        for row, flag in zip(rows, ("A", "C", "H", "B"), strict=False):
            row.update(LIQUIDX="", LIQUIDX_=flag)

    before, _ = ingested("CEI_2015", archive_of(mirror, "CEI_2015"))
    after, report = ingested("CEI_2015", edited(mirror, tmp_path, "fmli152.csv", change))
    assert before["liquidx"].null_count == 0
    assert after["liquidx"].slice(0, 4).to_pylist() == [0, None, 0, None]
    assert report.missing["liquidx"] == 2


def test_incomes_and_assets_are_told_in_dollars_of_the_interviews_year_and_kept_in_those_of_2019(
    mirror, tmp_path
) -> None:
    def change(rows) -> None:
        rows[0].update(QINTRVYR="2015", FINCBTXM="50000", FINATXEM="-300", LIQUIDX="1000")
        rows[1].update(QINTRVYR="2016", LIQUIDX="", LIQUIDX_="A")

    table, _ = ingested("CEI_2015", edited(mirror, tmp_path, "fmli152.csv", change))
    # 255.657 / 237.017 = 1.07864
    assert table["fincbtxm"][0].as_py() == 53_932
    assert table["finatxem"][0].as_py() == -324
    assert table["liquidx"].slice(0, 2).to_pylist() == [1_079, 0]


def test_accounts_of_unknown_units_are_counted(mirror, tmp_path) -> None:
    path = edited(mirror, tmp_path, "mtbi152.csv", lambda rows: rows[0].update(NEWID="99999991"))
    _, report = ingested("CEI_2015", path)
    assert report.relations["expenditures"].outside == 1
