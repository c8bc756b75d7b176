"""A package index shows README.md without pictures and without links that lead nowhere there."""

import re
from importlib.metadata import metadata


def test_the_description_is_the_readme_without_pictures_and_local_links() -> None:
    found = metadata("thinsim")
    assert found["Description-Content-Type"] == "text/markdown"
    text = found["Description"] or str(found.get_payload())
    assert text.lstrip().startswith("# thinsim")
    assert "make reproduce" in text
    assert "<picture>" not in text
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []
