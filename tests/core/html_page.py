"""A page taken apart: its elements, its text, and the files that it carries."""

import base64
from html.parser import HTMLParser

VOID = {"meta", "wbr"}
INLINE = {"b", "span", "i"}


class Page(HTMLParser):
    """Reads a page that must be well formed: every element is closed, in order."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.source = path.read_text("utf-8")
        self.elements, self.open, self.words, self.files = [], [], [], {}
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if "download" in attributes:
            kind, _, data = attributes["href"].partition(";base64,")
            assert kind.startswith("data:")
            self.files[attributes["download"]] = base64.b64decode(data, validate=True)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag not in INLINE:
            self.words.append(" ")

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def count(self, tag, **wanted):
        return sum(
            name == tag and wanted.items() <= {key.rstrip("_"): value for key, value in attributes.items()}.items()
            for name, attributes in self.elements
        )
