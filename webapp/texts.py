"""Every English text of the pages, in one place, so that they can be translated.

A text may hold marks of HTML; values put into it are escaped. One that differs between one and many is a pair, chosen
by `count`. Texts whose key begins with `js.` go to the scripts. What is wrong is said by the error (engine.errors).
"""

from datetime import datetime

from markupsafe import Markup

TEXTS: dict[str, str | tuple[str, str]] = {
    # Everywhere
    "skip": "Skip to the photos",
    "explore": "Explore",
    "library": "Library",
    "more_pages": "More",
    "busy": "indexing",
    "log_out": "Log out",
    "search": "Search",
    "search_photos": "Search photos",
    "search_here": "What to look for in this photo",
    "search_image": "Search by an image: choose, drop or paste it",
    "send": "Send",
    "apply": "Apply",
    "photos": ("{count:,} photo", "{count:,} photos"),
    "count": "{count:,}",
    "short_months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "percent": "{count}\u202f%",
    "months": "January February March April May June July August September October November December",
    "month": "{month} {year}",
    "day": "{day} {month} {year}",
    "moment": "{day} {month} {year}, {time}",
    "undated": "Without a date",
    "did_you_mean": "Did you mean",
    "to_photos": "To the photos",
    "not_readable": "This address cannot be read",
    "not_found": "There is no such page",
    "not_found_hint": "The address may be mistyped, or what was there is gone.",
    "try": "Try",
    # Search
    "no_answer": "No answer",
    "most_like": "Most like {name}",
    "took": "in {ms:.0f} ms",
    "exact": "exact",
    "exact_means": "Proven: scoring every photo of the library gives the same order",
    "newest_first": "newest first",
    "best_first": "best first",
    "order": "Order",
    "sure_at_least": "Sure at least",
    "without_image": "Without the image",
    "where": "Where",
    "where_on_all": "Show on every photo where the words were found (h)",
    "filters": "Filters",
    "remove_filter": "Remove the filter {name} {value}",
    "filter.folder": "Folder",
    "filter.camera": "Camera",
    "filter.lens": "Lens",
    "filter.keyword": "Keyword",
    "filter.rating": "Stars from",
    "filter.after": "From",
    "filter.before": "Before",
    "filter.type": "Format",
    "any": "any",
    "filter_title": "Which photos",
    "filter_apply": "Show these",
    "never_label": "<b>{term}</b> was never a label in training",
    "near": "near",
    "rare": "<b>{term}</b> is rare; did you mean",
    "not_sure_enough": "No photo is sure enough",
    "guesses": "Nothing was found for sure; these are guesses.",
    "guess": "guess",
    "a_guess": "a guess",
    "less_sure_from_here": "Less sure: guesses",
    "nearest_anyway": "Show the nearest ones anyway",
    "no_photo_passes": "No photo passes these filters",
    "without_filters": "Without filters",
    "more_photos": "More photos",
    "confidence": "confidence",
    "confidence_score": "confidence {confidence}, score {score}",
    "good_mark": "marked as a match",
    "bad_mark": "marked as no match",
    "copies": ("{count:,} copy", "{count:,} copies"),
    "less_sure": "Show less sure ones too",
    "download": "Download this list:",
    "key_search": "search",
    "key_move": "move",
    "key_where": "where",
    "key_good": "match or not",
    "key_undo": "undo",
    "key_all": "all keys",
    # Keys
    "keys_title": "Keys",
    "keys_everywhere": "Everywhere",
    "keys_photos": "Among photos",
    "keys_photo": "One photo",
    "key_to_box": "to the search box",
    "key_back": "out of the box, close, or back to the photos",
    "key_keys": "these keys",
    "key_move_between": "to another photo",
    "key_open": "open it",
    "key_heat": "where the words are, on all photos",
    "key_judge": "it is a match, or it is not",
    "key_take_back": "take that back",
    "key_turn": "the photo before, the next one",
    "key_hide": "hide or show the heatmap",
    "key_region": "choose a region to find in others",
    "key_others": "other photos at random",
    # One photo
    "back_to_photos": "Back to the photos (Esc)",
    "photos_link": "Photos",
    "with_where": "{name}, with where {words} was found",
    "other_photos": "Other photos",
    "previous": "Previous photo",
    "next": "Next photo",
    "sure": "<b>{confidence}</b> sure",
    "score": "score {score}",
    "left_out": "left out",
    "sure_here": "{confidence} sure that it is here",
    "zero_shot": "zero-shot: never a label in training",
    "zero_shot_near": "zero-shot: near {tags}",
    "like_background": "like any background",
    "found_here": "found here",
    "something_like": "Photos with something like this",
    "opacity": "Strength",
    "opacity_of": "Strength of the heatmap",
    "hide_heatmap": "hide the heatmap",
    "pick_region": "choose a region with the arrow keys",
    "what_is_where": "What is where?",
    "type_or_choose": "Type any word above, or choose one below, to see where it is in this photo.",
    "back_to_words": "Back to {words}",
    "is_it": "Is this photo a match for {words}?",
    "match": "Match",
    "no_match": "No match",
    "undo": "Undo",
    "shows": "Shows",
    "photo": "Photo",
    "file": "File",
    "taken": "Taken",
    "written": "File written",
    "camera": "Camera",
    "lens": "Lens",
    "place": "Place",
    "on_map": "Show on the map",
    "rating": "Rating",
    "stars": ("{count} star", "{count} stars"),
    "rejected": "rejected",
    "keywords": "Keywords",
    "size": "Size",
    "warning": "Damaged",
    "missing": "The file was gone when it was last looked for",
    "original": "Open the original",
    "like_there": "Photos with something like what is there",
    "like_whole": "or like the whole of this one",
    "like_this_one": "Photos like this one",
    "or_click": "or click into it, to find what is there in others",
    # Explore
    "explore_intro": "What the library holds, as far as unseen can tell by looking.",
    "tags": "Tags",
    "at_random": "At random",
    "others": "Others",
    "timeline": "Timeline",
    "month_photos": "{month}: {photos}",
    "folders": "Folders",
    "cameras": "Cameras",
    "map": "Map",
    "open_map": "Open the map",
    "places_known": ("{count:,} photo says where it was taken", "{count:,} photos say where they were taken"),
    "no_tags": "No tag is sure enough for any photo yet.",
    "tags_counting": "They are being counted: look again in a moment.",
    "tag_title": ("{count:,} photo shows it", "{count:,} photos show it"),
    "tag_near": "Near in meaning",
    "tag_with": "Often together with",
    "tag_search": "Search for it",
    "all_photos": "All {count:,} photos",
    "first_shown": "the first {count:,} are shown",
    "whole_world": "The whole world",
    "zoom_out": "Further away",
    "zoom_in": "{photos} here: look closer",
    "map_label": "Map of the photos",
    "no_places": "No photo says where it was taken",
    "no_places_hint": "Cameras that note the place write it into the photo; unseen reads it when it indexes.",
    # Library
    "could_not_be_read": "Could not be read",
    "on_disk": "On disk",
    "model": "Model",
    "utc": "{time} UTC",
    "last_change": "Last change",
    "in_folder": "In <code>{folder}</code>",
    "look_again": "Look again",
    "look_again_at": "Look again at {folder}",
    "look_all_again": "Look at all folders again",
    "another_folder": "Another folder",
    "index_it": "Index it",
    "allowed": "Folders below these may be indexed: {folders}",
    "running": "Indexing",
    "stop": "Stop",
    "stopping": "Stopping after the batch in hand",
    "job_of": "Index run",
    "job_counting": "{count:,} files found so far",
    "job_going": "{done:,} of {total:,} files",
    "job_left": "about {time} left",
    "job_failed": ("{count:,} could not be read", "{count:,} could not be read"),
    "job_done": "Done: {added:,} added, {updated:,} updated, {removed:,} removed, {failed:,} could not be read",
    "job_cancelled": "Stopped; what was done is kept",
    "seconds": ("{count} second", "{count} seconds"),
    "minutes": ("{count} minute", "{count} minutes"),
    "hours": ("{count} hour", "{count} hours"),
    "failures": "Files that could not be read",
    "looked_again": "They are looked at again when they change.",
    "try_again": "Try all of them again",
    "reason": "Reason",
    "and_more": "And {count:,} more: <code>unseen status --failed</code>",
    "none": "None.",
    "for_programs": "A program can read all of this:",
    "api": "the API",
    # How to begin
    "nothing_indexed": "Nothing is indexed yet",
    "first_run": "Your photos are being looked at",
    "first_run_hint": "The first ones will be here in a moment, and can be searched while the others follow.",
    "how_to_begin": "Show unseen your photos once. They are neither moved nor changed.",
    "begin_here": "Which folder holds your photos?",
    "or_terminal": "Or in a terminal:",
    "looked_in": "Looked for a library in <code>{folder}</code>. Another one is named with <code>--library</code>.",
    "look": "Look again",
    # Log in
    "log_in": "Log in",
    "token": "Token",
    "token_from": "Who runs this server makes one with <code>unseen token new</code>.",
    # The API's page
    "api_title": "The API",
    "api_whole": "The whole of it for a program:",
    "api_answers": "Answers:",
    # Scripts
    "js.suggestions": "Suggestions",
    "js.offline": "The server does not answer. Is it still running?",
    "js.failed": "That did not work: {reason}",
    "js.retry": "Try again",
    "js.good": "Marked as a match: comes first for “{q}” from now on",
    "js.bad": "Marked as no match: left out of “{q}” from now on",
    "js.taken_back": "Taken back",
    "js.undo": "Undo",
    "js.match": "Match (+)",
    "js.no_match": "No match (-)",
    "js.region": "Row {row}, column {col}. Enter finds photos with something like it.",
    "js.too_large": "The image is larger than {size} MB",
    "js.more": "{count} more",
    "js.no_heat": "The heatmap could not be loaded",
    "js.close": "Close",
}


def text(key: str, **values: object) -> Markup:
    """A text with its values; raises KeyError for one that there is not."""
    chosen = TEXTS[key]
    if isinstance(chosen, tuple):
        chosen = chosen[0 if values.get("count") == 1 else 1]
    return Markup(chosen).format(**values) if values else Markup(chosen)  # noqa: S704  (our own texts)


def for_scripts() -> dict[str, str]:
    """The texts that scripts show, by their keys without `js.`."""
    return {key.removeprefix("js."): shown for key, shown in TEXTS.items() if key.startswith("js.")}  # type: ignore[misc]


def month(name: str | None) -> str:
    """A month such as 2024-07, in words; None is for photos without a date."""
    if name is None:
        return text("undated")
    return text("month", month=_month(int(name[5:])), year=name[:4])


def day(moment: datetime) -> str:
    """A day in words."""
    return text("day", day=moment.day, month=_month(moment.month), year=moment.year)


def minute(moment: datetime) -> str:
    """A day and the time of the day."""
    return text("moment", day=moment.day, month=_month(moment.month), year=moment.year, time=f"{moment:%H:%M}")


def duration(seconds: int) -> str:
    """How long, in one unit."""
    if seconds < 90:
        return text("seconds", count=seconds)
    if seconds < 5400:
        return text("minutes", count=round(seconds / 60))
    return text("hours", count=round(seconds / 3600))


def _month(number: int) -> str:
    return str(TEXTS["months"]).split()[number - 1]
