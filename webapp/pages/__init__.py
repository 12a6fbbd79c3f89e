"""The pages for people: search, one photo, what there is to explore, the library.

They work without scripts; static/*.js only adds comfort. Words are in webapp/texts.py.
"""

from flask import Blueprint

from webapp import docs
from webapp.pages import explore, filters, helpers, keys, library, marks, photo, places, search

pages = Blueprint("pages", __name__)

pages.add_url_rule("/", "home", search.home)
pages.add_url_rule("/", "home_like", search.home_like, methods=["POST"])
pages.add_url_rule("/filters", "filters", filters.choose)
pages.add_url_rule("/photos.<any(csv, json):kind>", "download", search.download)
pages.add_url_rule("/photo/<int:photo_id>", "photo", photo.photo)
pages.add_url_rule("/photo/<int:photo_id>/mark", "mark", marks.mark, methods=["POST"])
pages.add_url_rule("/explore", "explore", explore.explore)
pages.add_url_rule("/tag/<path:tag>", "tag", explore.tag)
pages.add_url_rule("/map", "map", places.world)
pages.add_url_rule("/keys", "keys", keys.keys)
pages.add_url_rule("/library", "library", library.library)
pages.add_url_rule("/library/index", "index", library.index, methods=["POST"])
pages.add_url_rule("/library/stop", "stop", library.stop, methods=["POST"])
pages.add_url_rule("/api/docs", "docs", docs.page)
pages.add_url_rule("/api/v1/openapi.json", "openapi", docs.document)

helpers.register(pages)
