"""The filter language is tested alone: matches, errors with their place, and laws over random filters."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.snapshotter.filters.filter_texts import LABELS, paths, proper, quoted, selectors, texts, written
from thinsim.snapshotter.errors import InvalidArgumentError
from thinsim.snapshotter.filters.parsing import parse_filters
from thinsim.snapshotter.filters.selectors import Filter, Operator, Selector
from thinsim.snapshotter.filters.snapshots import fields_of
from thinsim.snapshotter.interface import Info, Kind

NOW = datetime(2024, 5, 6, tzinfo=UTC)


def snapshot(
    name: str, kind: Kind = Kind.ACTIVE, parent: str = "", labels: Mapping[str, str] | None = None
) -> Info:
    return Info(kind, name, parent, labels or {}, NOW, NOW)


SNAPSHOTS = [
    snapshot("foo", Kind.COMMITTED, labels={"foo": "true"}),
    snapshot("bar", Kind.ACTIVE, "foo", {"foo": "omg_asdf.asdf-qwer"}),
    snapshot("fooer", Kind.VIEW, "foo", {'more complex with \\ and "': "present"}),
    snapshot("too complex, yo", Kind.ACTIVE, labels={"io.containerd/key": "é", "a.b.c": "dots"}),
]


def fitting(*filters: str) -> str:
    wanted = parse_filters(*filters)
    return " ".join(str(n) for n, info in enumerate(SNAPSHOTS) if wanted.matches(fields_of(info)))


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", "0 1 2 3"),
        ("name", "0 1 2 3"),
        ("parent", "0 1 2 3"),
        ("kind", "0 1 2 3"),
        ("size", ""),
        ("labels", ""),
        ("name==foo", "0"),
        ("name==foo,name==bar", ""),
        ("name!=foo", "1 2 3"),
        ("size!=1", "0 1 2 3"),
        ('size!=""', ""),
        ("kind==view", "2"),
        ("kind==View", ""),
        ("kind.of.any.kind==view", "2"),
        ("parent==foo,kind!=view", "1"),
        ("labels.foo", "0 1"),
        ("labels.foo==omg_asdf.asdf-qwer", "1"),
        ("labels.foo ==  true", "0"),
        (r'labels."more complex with \\ and \""==present', "2"),
        ("labels.a.b.c==dots", "3"),
        ('labels."a.b".c', "3"),
        ('labels."io.containerd/key"', "3"),
        ('name=="too complex, yo"', "3"),
        ("name~=^foo", "0 2"),
        ("name~=^foo$", "0"),
        ("name~=/[o]{2},/", ""),
        ("name~=/too .*,/", "3"),
        (r"name~=|\\bcomplex\\b|", "3"),
        ("name~=(?i)FOO", "0 2"),
        ("labels.absent~=^$", "0 1 2 3"),
        (r'labels."io.containerd/key"=="\u00e9"', "3"),
        (r'labels."io.containerd/key"=="\xc3\xa9"', "3"),
        (r'labels."io.containerd/key"=="\303\251"', "3"),
        (r'labels."io.containerd/key"=="\xe9"', ""),
        (r'labels."io.containerd/key"=="\ud800"', ""),
        ("name~=(", ""),
        (r'name~="\xff"', ""),
    ],
)
def test_a_filter_matches_as_in_containerd(text: str, fits: str) -> None:
    assert fitting(text) == fits


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name==foo,", "[name==foo,]: expected field or quoted"),
        ("labels.", "[labels.]: expected field or quoted"),
        ("name==", "[name==]: expected value or quoted"),
        ("image~=,id", "[image~= >|,|< id]: expected value or quoted"),
        ("labels.?a", "[labels. >|?|< a]: expected field or quoted"),
        ("labels.ns/key==value", "[labels.ns >|/|< key==value]: quoted literal not terminated"),
        ("labels.key==/value", "[labels.key== >|/|< value]: quoted literal not terminated"),
        ("labels.|foo|==x", "[labels. >|||< foo|==x]: invalid quote encountered"),
        ("name==|foo|", "[name== >|||< foo|]: invalid quote encountered"),
        ("name=foo", '[name >|=|< foo]: unsupported operator "="'),
        ("name===foo", '[name >|=|< ==foo]: unsupported operator "==="'),
        ("name foo", '[name  >|f|< oo]: expected an operator ("=="|"!="|"~=")'),
        ("name==foo bar", "[name==foo >| |< bar]: unexpected input:  "),
        ("name==foo\0", "[name==foo >|\0|< ]: unexpected input: \ufffd"),
        ("fo\0o", "[fo >|\0|< o]: unexpected null"),
        ("fo\ufffdo", "[fo >|\ufffd|< o]: rune error"),
        (r'labels."\g"', r'[labels. >|"|< \g"]: illegal escape sequence'),
        (r'labels."\xaz"', r'[labels. >|"|< \xaz"]: illegal numeric escape sequence'),
        (r'name=="\400"', r'[name== >|"|< \400"]: unquoting failed: quote syntax error'),
        (r'name=="\U00110000"', r'[name== >|"|< \U00110000"]: unquoting failed: quote syntax error'),
        ('name=="a\nb"', '[name== >|"|< a\nb"]: quoted literal not terminated'),
    ],
)
def test_an_invalid_filter_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_filters("name", text)
    assert str(refusal.value) == f"filters: parse error: {complaint}"


def test_one_of_several_filters_is_enough_and_no_filter_matches_everything() -> None:
    assert fitting("name==foo", "kind==view", "name==nothing") == "0 2"
    assert fitting() == fitting("name==nothing", "") == "0 1 2 3"


def test_a_pattern_that_would_make_others_backtrack_for_years_ends_at_once() -> None:
    long = snapshot("a" * 40_000 + "b")
    assert not parse_filters("name~=^(a+)+$").matches(fields_of(long))


@given(st.lists(selectors, min_size=1, max_size=4))
def test_a_written_filter_is_read_back(wanted: list[Selector]) -> None:
    assert parse_filters(",".join(map(written, wanted))) == Filter((tuple(wanted),))


@given(paths, st.text())
def test_every_text_can_be_quoted(path: tuple[str, ...], value: str) -> None:
    ((selector,),) = parse_filters(f"{'.'.join(map(quoted, path))}=={quoted(value)}").alternatives
    assert selector == Selector(path, Operator.EQUAL, value)


@given(st.text() | texts)
def test_any_text_is_a_filter_or_an_invalid_argument(text: str) -> None:
    with suppress(InvalidArgumentError):
        parse_filters(text).matches(fields_of(SNAPSHOTS[0]))


@given(st.lists(proper, min_size=1, max_size=3), st.sampled_from(("näme", "a", "")), st.sampled_from(Kind))
def test_a_comma_is_and_a_further_filter_is_or(found: list[str], name: str, kind: Kind) -> None:
    entry = fields_of(snapshot(name, kind, "a", LABELS))
    each = [parse_filters(text).matches(entry) for text in found]
    assert parse_filters(*found).matches(entry) == any(each)
    assert parse_filters(",".join(found)).matches(entry) == all(each)
