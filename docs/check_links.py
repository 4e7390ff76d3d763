"""Check the built site: every link inside it leads somewhere, and no page loads anything from elsewhere.

``python docs/check_links.py docs/_build/html`` prints what is wrong, and exits with 1 if anything is.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADED = {("link", "href")} | {(tag, "src") for tag in ("script", "img", "source", "iframe")}
# links that load nothing
NAVIGATION = {"canonical", "search", "author", "index", "next", "prev", "top", "copyright"}


class Page(HTMLParser):
    """The ids of a page, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attributes if value}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src"):
            if name in found:
                self.links.add(found[name])
                if (tag, name) in LOADED and found.get("rel") not in NAVIGATION:
                    self.loaded.add(found[name])


def problems(root: Path) -> list[str]:
    """Return a line for each link that leads nowhere, and each file that would come from elsewhere."""
    pages = {
        path.resolve(): Page(path.read_text())
        for path in sorted(root.rglob("*.html"))
        if "_static" not in path.parts
    }
    found = []
    for path, page in pages.items():
        name = path.relative_to(root.resolve())
        found += [
            f"{name}: loads {link}"
            for link in sorted(page.loaded)
            if urlsplit(link).scheme not in ("", "data")
        ]
        for link in sorted(page.links):
            address, fragment = urldefrag(link)
            if urlsplit(link).scheme or urlsplit(link).netloc:
                continue
            target = (
                (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            )
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name}: no file {link}")
            elif fragment and target in pages and unquote(fragment) not in pages[target].ids:
                found.append(f"{name}: no place {link}")
    return found if pages else [f"{root} holds no page"]


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))
