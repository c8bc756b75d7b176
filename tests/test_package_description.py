"""A package index shows the README, without links that work only in the repository."""

import re
from importlib.metadata import metadata


def test_the_description_is_the_readme_with_absolute_links() -> None:
    found = metadata("thinsim")
    assert found["Description-Content-Type"] == "text/markdown"
    text = found["Description"] or str(found.get_payload())
    assert text.lstrip().startswith("# thinsim")
    assert "make reproduce" in text
    assert "docs/commands.md" in text
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []
