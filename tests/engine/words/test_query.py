"""What people type becomes terms, weights and filters."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EmptyQuery, QueryError
from engine.words.query import MAX_LENGTH, MAX_TERMS, Filters, Term, filters_in, parse, parse_time, with_filter

COMPOUNDS = {"traffic light", "polar bear", "hot dog", "great white shark", "white shark"}


def terms(text):
    return [(term.text, term.weight) for term in parse(text, COMPOUNDS.__contains__).terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("giraffe", [("giraffe", 1)]),
        ("  Giraffe ", [("giraffe", 1)]),
        ("dog beach", [("dog", 1), ("beach", 1)]),
        ('"dog on a beach"', [("dog on a beach", 1)]),
        ("“Ｚｅｂｒａ”", [("zebra", 1)]),
        ("traffic light", [("traffic light", 1)]),
        ("red traffic light night", [("red", 1), ("traffic light", 1), ("night", 1)]),
        ("great white shark", [("great white shark", 1)]),
        ("polar -bear", [("polar", 1), ("bear", -1)]),
        ("beach -dog -cat", [("beach", 1), ("dog", -1), ("cat", -1)]),
        ('beach -"hot dog"', [("beach", 1), ("hot dog", -1)]),
        ("dog^2 beach^0.5", [("dog", 2), ("beach", 0.5)]),
        ('"hot dog"^3', [("hot dog", 3)]),
        ("-dog^2 beach", [("dog", -2), ("beach", 1)]),
        ("the dog on the beach", [("dog", 1), ("beach", 1)]),
        ("the", [("the", 1)]),
        ("t-shirt", [("t-shirt", 1)]),
        ('unfinished "quote here', [("unfinished", 1), ("quote here", 1)]),
        ("dog ... !!", [("dog", 1)]),
        ("(Traffic light!) #night", [("traffic light", 1), ("night", 1)]),
        ("dog,cat; bird", [("dog", 1), ("cat", 1), ("bird", 1)]),
        ("🦒 dog 🏖️", [("dog", 1)]),
    ],
)
def test_a_query_is_read_as_typed(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize("text", ["", "   ", "...", '""', "^", "-", "-dog", "folder:/a", "after:2020"])
def test_a_query_without_a_word_to_look_for_is_refused(text):
    with pytest.raises(EmptyQuery):
        parse(text)


@pytest.mark.parametrize(
    "text", ["dog^x", "dog^", "dog^0", "dog^-1", "dog^nan", "dog^1e9", "dog^1e-50", "a" * (MAX_LENGTH + 1)]
)
def test_what_cannot_be_meant_is_refused(text):
    with pytest.raises(QueryError):
        parse(text)


@pytest.mark.parametrize(("text", "said"), [(" ", "is empty"), ("🦒", "“🦒” holds no word"), ("-dog", "leave out")])
def test_why_there_is_nothing_to_look_for_is_said(text, said):
    with pytest.raises(EmptyQuery, match=said):
        parse(text)


@pytest.mark.parametrize(("text", "expected"), [("", []), ("after:2020", []), ("-dog", [("dog", -1)])])
def test_beside_an_image_no_word_is_needed(text, expected):
    query = parse(text, beside_image=True)
    assert [(term.text, term.weight) for term in query.terms] == expected


def test_more_terms_than_can_be_searched_are_refused():
    assert len(parse(" ".join(f"word{i}" for i in range(MAX_TERMS))).terms) == MAX_TERMS
    with pytest.raises(QueryError, match="terms"):
        parse(" ".join(f"word{i}" for i in range(MAX_TERMS + 1)))


def test_filters_are_read_beside_the_words():
    query = parse('dog folder:"/my photos" camera:Canon after:2020 before:2021-06-15 type:JPG')
    assert query.terms == (Term("dog"),)
    expected = Filters(
        "/my photos", "Canon", datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 6, 15, tzinfo=UTC), "jpg"
    )
    assert query.filters == expected
    assert not parse("dog").filters


def test_what_people_noted_is_a_filter_too():
    filters = parse('dog keyword:"new york" lens:"50mm" rating:4').filters
    assert (filters.keyword, filters.lens, filters.rating) == ("new york", "50mm", 4)


@pytest.mark.parametrize("value", ["★★★", "❤", "/", "(1)"])
def test_a_filter_is_read_as_it_is_whatever_it_is_made_of(value):
    assert parse(f"dog keyword:{value}").filters == Filters(keyword=value)
    assert parse(f'dog folder:"{value}"').filters == Filters(folder=value)
    assert parse('dog camera:"" lens:" "').filters == Filters()


@pytest.mark.parametrize("text", ["dog -type:png", '-folder:"/a b" dog'])
def test_a_filter_with_a_minus_is_refused_rather_than_turned_round(text):
    with pytest.raises(QueryError, match="filter with a minus"):
        parse(text)


@pytest.mark.parametrize("text", ["six", "6", "-1", "4.5"])
def test_a_rating_is_up_to_five_stars(text):
    with pytest.raises(QueryError, match="rating:4 for photos with four stars"):
        parse(f"dog rating:{text}")


@pytest.mark.parametrize("text", ["yesterday", "2020-13", "2020-02-30", "20", ""])
def test_a_date_that_is_none_is_refused(text):
    with pytest.raises(QueryError, match="is not a date"):
        parse_time(text)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_in_no_year_that_has_a_number_in_utc_is_refused(text):
    with pytest.raises(QueryError, match="is not a date"):
        parse(f"dog after:{text}")


def test_a_time_with_an_offset_is_one_in_utc():
    assert parse("dog after:2024-01-01T01:00:00+02:00").filters.after == datetime(2023, 12, 31, 23, tzinfo=UTC)


@given(st.text(max_size=200))
def test_any_text_gives_terms_or_a_clear_error(text):
    try:
        query = parse(text)
    except QueryError as error:
        assert "\n" not in str(error)
    else:
        assert any(term.weight > 0 for term in query.terms)
        assert all(any(c.isalnum() for c in term.text) for term in query.terms)


def test_a_filter_can_be_taken_out_of_a_query_and_put_in_place_of_another():
    text = 'dog folder:"/my photos" after:2020 camera:Canon'
    assert filters_in(text) == [
        ("folder", "/my photos", "dog after:2020 camera:Canon"),
        ("after", "2020", 'dog folder:"/my photos" camera:Canon'),
        ("camera", "Canon", 'dog folder:"/my photos" after:2020'),
    ]
    assert with_filter("dog camera:Canon camera:Leica", "camera", "Box Brownie") == 'dog camera:"Box Brownie"'
    assert with_filter("camera:Canon", "camera", None) == ""
    assert with_filter("dog", "after", "2024-07") == "dog after:2024-07"


@given(st.text(max_size=60), st.sampled_from(["folder", "camera"]), st.text(st.characters(exclude_characters='"')))
def test_a_filter_that_is_written_is_read_again(text, name, value):
    written = with_filter(text.replace('"', ""), name, f"a{value}".strip())
    assert f"a{value}".strip() in [found for kind, found, _ in filters_in(written) if kind == name]
