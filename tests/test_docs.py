"""What the documents say is so: the recipes run, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))

_LINK = re.compile(r"\]\(([^)#\s]+)")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead to nothing."""
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    return [link for link in links if "://" not in link and not (page.parent / link).exists()]


def recipes(page: Path) -> dict[str, str]:
    """Section → its Python blocks as one program, for the sections that have some."""
    sections = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    code = {title: "\n".join(_BLOCK.findall(text)) for title, text in zip(sections[1::2], sections[2::2], strict=True)}
    return {title: text for title, text in code.items() if text}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md) [b](gone.md#part) [c](https://example.org/x) [d](#here)")
    assert broken_links(page) == ["gone.md"]


def test_contributing_has_both_recipes() -> None:
    assert set(recipes(ROOT / "CONTRIBUTING.md")) == {"Add an encoder", "Add an attributor"}


@pytest.mark.parametrize("title", ["Add an encoder", "Add an attributor"])
def test_the_recipe_runs(title: str) -> None:
    code = recipes(ROOT / "CONTRIBUTING.md")[title]
    assert "check_" in code
    exec(compile(code, f"CONTRIBUTING.md: {title}", "exec"), {"__name__": "recipe"})  # noqa: S102 - our own page


@pytest.mark.parametrize(
    ("title", "good", "bad"),
    [
        ("Add an encoder", "values.mean(axis=0)", "values.mean(axis=0).astype(np.float64)"),
        ("Add an attributor", "return -np.linalg.norm(x[:, None] - medians, axis=2)", "return medians"),
    ],
)
def test_the_recipe_s_check_can_fail(title: str, good: str, bad: str) -> None:
    code = recipes(ROOT / "CONTRIBUTING.md")[title]
    assert good in code
    with pytest.raises(Exception, match=r".") as caught:
        exec(code.replace(good, bad), {"__name__": "recipe"})  # noqa: S102 - our own page
    assert not isinstance(caught.value, ImportError | SyntaxError)


def test_every_decision_is_on_the_map() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        assert f"decisions/{page.name}" in index
