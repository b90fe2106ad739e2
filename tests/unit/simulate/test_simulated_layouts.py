"""Simulated ACS files have the columns of the official ones, in their order, and valid codes in all of them."""

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fusion_pipeline.simulate.acs import draw_columns, draw_sample
from fusion_pipeline.simulate.acs_further import ALLOCATED, PUERTO_RICO, load_further
from fusion_pipeline.simulate.acs_layout import Place, load_layout, official_columns
from fusion_pipeline.simulate.acs_vintages import Vintage
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.recs_layout import official_columns as recs_columns

PUMA, SEED, COUNT = 17, 3, 400
DICTIONARIES = {"2017": "acs1-2017", "2018_5yr": "acs5-2018", "2019": "acs1-2019", "2023": "acs1-2023"}


def draw(places: Places, key: str, count: int = COUNT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One PUMA of a vintage's last year, blank cells as empty text."""
    file = Vintage(key)
    sample = draw_sample(places, SEED, file.year, np.array([PUMA]), np.array([count]), 0)
    units, people = draw_columns(places, SEED, file, file.year, sample)
    frames = (
        pa.table({n: pc.fill_null(v, "") for n, v in each.items()}).to_pandas() for each in (units, people)
    )
    return next(frames), next(frames)


@pytest.fixture(scope="module")
def of_2013(places: Places) -> tuple[pd.DataFrame, pd.DataFrame]:
    return draw(places, "2013")


def header(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened, opened.open(opened.namelist()[0]) as member:
        return next(csv.reader(io.TextIOWrapper(member)))


def test_archives_of_2013_have_the_official_number_of_columns(mirror: Path) -> None:
    housing, persons = (header(mirror / "acs_2013" / f"csv_{kind}us.zip") for kind in "hp")
    assert housing == list(official_columns("households", 2013, five=False)) and len(housing) == 231
    assert persons == list(official_columns("persons", 2013, five=False)) and len(persons) == 283
    assert housing[-1] == "wgtp80" and persons[-1] == "pwgtp80"


def test_housing_file_of_2014_to_2018_has_the_official_number_of_columns(places: Places) -> None:
    units, _ = draw(places, "2018_5yr", count=4)
    assert list(units) == list(official_columns("households", 2018, five=True)) and len(units.columns) == 237
    assert set(units.loc[units["BUS"] != "", "BUS"]) == {"9"}, "not asked since 2016"


def test_allocation_flags_are_set_for_few_and_blank_for_group_quarters_only(
    of_2013: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    for frame, record in zip(of_2013, ("households", "persons"), strict=True):
        flags = frame[list(Vintage("2013").flags(record))]
        asked = frame["TYPE"] == "1" if "TYPE" in frame else np.ones(len(frame), dtype=bool)
        assert (flags[~asked] == "").all(axis=None)
        assert flags[asked].isin(["0", "1"]).all(axis=None)
        share = (flags[asked] == "1").mean()
        assert (share[share.index.isin(PUERTO_RICO)] == 0).all()
        assert share[~share.index.isin(PUERTO_RICO)].between(0, 3 * ALLOCATED, inclusive="right").all()


def test_housing_costs_are_in_percent_of_income(of_2013: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    units = of_2013[0]
    for percent, costs in (("GRPIP", "GRNTP"), ("OCPIP", "SMOCP")):
        paying = units[units[costs] != ""]
        monthly, income = pd.to_numeric(paying[costs]), pd.to_numeric(paying["HINCP"])
        assert ((paying[percent] == "") == (income <= 0)).all()
        earning = income > 0
        exact = (1200 * monthly[earning] / income[earning]).round().clip(1, 101)
        assert (pd.to_numeric(paying.loc[earning, percent]) - exact).abs().max() <= 1
        assert (units.loc[units[costs] == "", percent] == "").all()


def test_mortgages_and_specified_units_follow_tenure(of_2013: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    units = of_2013[0]
    assert set(units.loc[units["TEN"] == "1", "MRGX"]) <= {"1", "2"}
    assert set(units.loc[units["TEN"] == "2", "MRGX"]) == {"3"}
    assert ((units["SMP"] != "") == units["SMX"].isin(["1", "2", "4"])).all()
    assert ((units["SMX"] != "") == (units["TEN"] == "1")).all()
    specified = units[(units["SVAL"] == "1") & (units["NP"] != "00")]
    assert set(specified["TEN"]) == {"1", "2"} and set(specified["BLD"]) <= {"02", "03"}
    assert not {"1", "2"} & set(units.loc[units["SRNT"] == "1", "TEN"])
    assert (units.loc[units["TYPE"] == "1", ["SVAL", "SRNT", "RWATPR"]] != "").all(axis=None)


def test_recodes_of_persons_agree_with_their_sources(of_2013: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    people = of_2013[1]
    assert ((people["DRAT"] != "") == (people["DRATX"] == "1")).all()
    assert ((people["DECADE"] != "") == (people["YOEP"] != "")).all()
    assert ((people["DRIVESP"] != "") == (people["JWRIP"] != "")).all()
    assert ((people["MIGPUMA"] != "") == (people["MIG"].isin(["2", "3"]))).all()
    assert ((people["NWLK"] != "") == (people["ESR"] != "")).all()
    races = people[["RACWHT", "RACBLK", "RACAIAN", "RACASN", "RACNH", "RACPI", "RACSOR"]].astype(int)
    assert (races.sum(axis=1) == people["RACNUM"].astype(int)).all()
    assert (people["WAOB"] != "").all()


def test_recs_has_all_official_columns_and_flags_of_imputation(recs: pd.DataFrame) -> None:
    assert list(recs) == list(recs_columns()) and len(recs.columns) == 759
    flags = recs[[name for name in recs if name.startswith("Z")]]
    assert flags.isin(["0", "1", "-2"]).all(axis=None)
    assert ((recs["ZFUELHEAT"] == "-2") == (recs["FUELHEAT"] == "-2")).all()
    assert ((recs["ZNGAMOUNT"] == "-2") == (recs["BTUNG"].astype(float) == 0)).all()
    area = recs[["TOTSQFT_EN", "TOTHSQFT", "TOTUSQFT", "TOTCSQFT", "TOTUCSQFT"]].astype(int)
    assert (area["TOTHSQFT"] + area["TOTUSQFT"] == area["TOTSQFT_EN"]).all()
    assert (area["TOTCSQFT"] + area["TOTUCSQFT"] == area["TOTSQFT_EN"]).all()


def test_rules_name_columns_of_the_layout() -> None:
    known = {name for place in load_layout() for name in place.names()} | {"YEAR"}
    rules = load_further()
    for name, of_it in (rules.households | rules.persons).items():
        for rule in of_it:
            named = {name, *rule.where, *rule.sum}
            named |= {rule.same_as} - {None} | ({rule.recode.column} if rule.recode else set())
            assert named <= known, name


def test_a_column_stands_once_in_every_file() -> None:
    for record in ("households", "persons"):
        for year, five in [(y, False) for y in range(2013, 2025)] + [(y, True) for y in range(2013, 2020)]:
            names = official_columns(record, year, five)
            assert len({name.lower() for name in names}) == len(names), (record, year, five)
    assert (
        Place(record="persons", column="pwgtp{}", one_year="", five_year="-", kind="").names()[79]
        == "pwgtp80"
    )


def real_headers(shared: Path) -> Iterator[tuple[str, int, bool, list[str]]]:
    for kind, record in (("h", "households"), ("p", "persons")):
        with gzip.open(shared / f"data/acs_2013_de/ss13{kind}de.csv.gz", "rt") as lines:
            yield record, 2013, False, next(csv.reader(lines))
    yield "households", 2018, True, header(shared / "data/acs_2018_5yr_de/csv_hde.zip")
    for key, name in DICTIONARIES.items():
        names = dictionary(shared, name)[0]
        persons = names.index("RT", 1)
        yield "households", int(key[:4]), key.endswith("5yr"), names[:persons]
        yield "persons", int(key[:4]), key.endswith("5yr"), names[persons:]


def dictionary(shared: Path, name: str) -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
    """Columns in order, and the codes or ranges of each."""
    with gzip.open(shared / f"data/dict/pums-dict_{name}.csv.gz", "rt") as lines:
        rows = list(csv.reader(lines))
    codes: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row[0] == "VAL":
            codes.setdefault(row[1], []).append((row[4], row[5]))
    return [row[1] for row in rows if row[0] == "NAME"], codes


@pytest.mark.realdata
def test_declared_order_is_that_of_the_real_files_and_dictionaries(shared: Path) -> None:
    for record, year, five, names in real_headers(shared):
        assert list(official_columns(record, year, five)) == names, (record, year, five)


@pytest.mark.realdata
def test_declared_order_of_recs_is_that_of_its_published_records(shared: Path) -> None:
    with gzip.open(shared / "data/recs_2015/recs2015_public_v4_reconstructed.csv.gz", "rt") as lines:
        names = next(csv.reader(lines))
    assert [name for name in recs_columns() if name in names] == names


@pytest.mark.realdata
@pytest.mark.parametrize("key", DICTIONARIES)
def test_simulated_codes_are_those_of_the_dictionaries(key: str, places: Places, shared: Path) -> None:
    codes = dictionary(shared, DICTIONARIES[key])[1]
    # One PUMA of the simulation stands for a hundredth of the country; the dictionary of 2014-2018 lacks a line.
    aside = {name for name in codes if "WGTP" in name} | {"SERIALNO", "ELEFP"}
    strange = {}
    for frame in draw(places, key):
        for name in set(frame) & set(codes) - aside:
            found = [
                text
                for text in set(frame[name]) - {""}
                if not any(_fits(text, *span) for span in codes[name])
            ]
            if found:
                strange[name] = found[:5]
    assert not strange


def _fits(text: str, low: str, high: str) -> bool:
    if text.lower() == low.strip().lower():  # that of 2017 prints a capital small
        return True
    try:
        ends = sorted([float(low), float(high)])  # the dictionary of 2017 turns losses round
        return ends[0] <= float(text) <= ends[1]
    except ValueError:
        return False
