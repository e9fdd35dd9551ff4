"""The pages written from the message types are up to date, complete and well formed."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import yaml  # type: ignore[import-untyped]

from common.messages import ALL, PREFIX, Message
from docs.generate.__main__ import DOCS, stale
from docs.generate.declared import declared, parts
from docs.generate.roots import ROOTS, root_of, used_roots


def test_no_page_is_stale() -> None:
    assert stale() == [], "run `python -m docs.generate`"


def test_the_page_names_every_message_subject_and_field() -> None:
    page = (DOCS / "subjects.md").read_text()
    for kind in ALL:
        section = page.split(f"\n### {kind.__name__}\n")[1].split("\n#")[0]
        assert f"`{PREFIX}.{kind.SUBJECT}`" in section
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(kind.__struct_fields__)


def test_the_table_of_the_design_has_every_message_that_is_no_fact() -> None:
    table = (DOCS / "design.md").read_text().split("\n## The bus\n")[1].split("\n## ")[0]
    others = [kind.__name__ for kind in ALL if root_of(kind.SUBJECT).name not in ("evt", "ops")]
    assert len(others) >= 10 and [name for name in others if f"`{name}`" not in table] == []


def test_every_link_within_the_page_has_its_heading() -> None:
    page = (DOCS / "subjects.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= headings


def test_defaults_and_docstrings_are_those_of_the_class() -> None:
    for kind in [*ALL, *parts()]:
        for field in declared(kind).fields:
            assert field.name in kind.__struct_fields__  # type: ignore[attr-defined]


def test_the_asyncapi_document_has_a_channel_for_every_message_and_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0" and set(document["info"]) >= {"title", "version"}
    assert {c["address"] for c in document["channels"].values()} == {f"{PREFIX}.{kind.SUBJECT}" for kind in ALL}
    for channel in document["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel.get("parameters", {}))
    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_a_message_of_an_unknown_root_is_refused_with_what_to_do() -> None:
    class Odd(Message, frozen=True, kw_only=True):
        SUBJECT: ClassVar[str] = "odd.{run}"
        run: str

    with pytest.raises(ValueError, match=r"docs/generate/roots.py.*odd"):
        root_of(Odd.SUBJECT)


def test_no_row_is_about_a_root_that_has_no_message() -> None:
    assert used_roots() == list(ROOTS)
