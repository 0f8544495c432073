"""Makes pieces of HTML safe for a page that works without a network."""

import base64
import mimetypes
import re
from pathlib import Path

from bs4 import BeautifulSoup

_INTERESTING = re.compile(
    r"<(img|script|link|style|iframe|video|audio|source|object|embed|base|meta)"
    r"|\sstyle\s*=",
    re.IGNORECASE,
)
_EXTERNAL = re.compile(r"\s*(https?:|//|ftp:)", re.IGNORECASE)
_CSS_IMPORT = re.compile(r"@import[^;]*;?", re.IGNORECASE)
_CSS_URL = re.compile(r"url\(\s*['\"]?(?!data:)[^)]*\)", re.IGNORECASE)


def is_external(address) -> bool:
    """Return whether an address needs a network."""
    return bool(_EXTERNAL.match(address or ""))


def clean_fragment(fragment, alt, folder=None) -> str:
    """Return a piece of HTML without anything that is fetched.

    External scripts, styles and frames go, a picture from the web becomes a
    link, and every picture has alternative text.

    Args:
        fragment: HTML of a cell or an output.
        alt: Alternative text for pictures that have none.
        folder: Where pictures that are files beside a notebook are.

    Returns:
        HTML.
    """
    if not _INTERESTING.search(fragment):
        return fragment
    soup = BeautifulSoup(fragment, "html.parser")
    for tag in soup.find_all(["link", "base", "meta"]):
        tag.decompose()
    for tag in soup.find_all("script"):
        kind = (tag.get("type") or "").lower()
        if tag.get("src") is not None or "widget" in kind:
            tag.decompose()
    for tag in soup.find_all("style"):
        tag.string = _offline_css(tag.string or "")
    for tag in soup.find_all(style=True):
        tag["style"] = _offline_css(tag["style"])
    for tag in soup.find_all(["iframe", "object", "embed"]):
        _replace_by_link(soup, tag, tag.get("src") or tag.get("data"))
    for tag in soup.find_all(["video", "audio", "source"]):
        if tag.get("src") and not tag["src"].startswith("data:"):
            _replace_by_link(soup, tag, tag["src"])
    for tag in soup.find_all("img"):
        _clean_picture(soup, tag, alt, folder)
    return str(soup)


def _clean_picture(soup, tag, alt, folder):
    del tag["srcset"]
    source = tag.get("src") or ""
    tag["alt"] = (tag.get("alt") or "").strip() or alt
    if not source or source.startswith("data:"):
        return  # an animation's script fills an empty one
    if is_external(source):
        _replace_by_link(soup, tag, source, tag["alt"])
    elif embedded := _embedded(source, folder):
        tag["src"] = embedded
    else:
        tag.replace_with(f"[there is no picture {source}]")


def _embedded(source, folder):
    """Return a picture inside the folder as a data URL, else None."""
    if folder is None:
        return None
    folder = Path(folder).resolve()
    path = (folder / source).resolve()
    kind, _ = mimetypes.guess_type(path.name)
    inside = path.is_relative_to(folder) and path.is_file()
    if not inside or not (kind or "").startswith("image/"):
        return None
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{kind};base64,{data}"


def _offline_css(css):
    return _CSS_URL.sub("none", _CSS_IMPORT.sub("", css))


def _replace_by_link(soup, tag, address, text=None):
    """Replace what would be fetched by a link that a reader may follow."""
    if not address:
        tag.decompose()
        return
    link = soup.new_tag("a", href=address)
    link.string = text or address
    tag.replace_with(link)
