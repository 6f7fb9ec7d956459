"""README.md as a package index shows it: links and pictures lead into the repository.

Read by `setup.py`, so that every wheel and source distribution holds this page.
"""

import re

_PICTURE = r"!\[([^\]]*)\]\(([^)\s]+)\)"
_LINKED_PICTURE = rf"\[{_PICTURE}\]\(([^)\s]+)\)"
_LINK = r"(?<!!)\[([^\[\]]+)\]\(([^)\s]+)\)"
_INSTALL = re.compile(r"^pip install '(torchliquid\[\w+\]) @ git\+.*$", re.MULTILINE)


def index_page(readme: str, repository: str, version: str) -> str:
    """Return the page.

    Args:
        readme: the text of README.md.
        repository: its address, without a slash at the end; "" while there is none: then pictures
            are left out, and links are their words.
        version: of the release; pages and pictures are those of its tag.
    """

    def there(kind: str, target: str) -> str:
        whole = "://" in target or target.startswith("#")
        return target if whole else f"{repository}/{kind}/v{version}/{target}"

    def linked_picture(match: re.Match[str]) -> str:
        words, picture, target = match.groups()
        return f"[![{words}]({there('raw', picture)})]({there('blob', target)})"

    def picture(match: re.Match[str]) -> str:
        return f"![{match[1]}]({there('raw', match[2])})"

    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}]({there('blob', match[2])})"

    page = _INSTALL.sub(r"pip install '\1'", readme)
    if repository:
        page = re.sub(_LINKED_PICTURE, linked_picture, page)
        page = re.sub(rf"(?<!\[){_PICTURE}", picture, page)
        return re.sub(_LINK, link, page)
    page = re.sub(_LINKED_PICTURE, "", page)
    page = re.sub(_PICTURE, "", page)
    return re.sub(_LINK, lambda match: match[0] if "://" in match[2] else match[1], page)
