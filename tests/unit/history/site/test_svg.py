"""Pictures as files of their own."""

from __future__ import annotations

from xml.etree import ElementTree

from orchestrator.history.site import svg

SVG = "{http://www.w3.org/2000/svg}"


def test_a_picture_alone_brings_its_style_and_its_ground() -> None:
    drawn = svg.drawing("p", "A <title>", "what & why", 100, 50, svg.line(0, 0, 9, 9, "front"))

    parsed = ElementTree.fromstring(svg.alone(drawn, ".front > a { fill: none; }"))

    style, ground = parsed.find(f"{SVG}style"), parsed.find(f"{SVG}rect")
    assert style is not None
    assert (style.text or "").startswith(".front > a { fill: none; }")
    assert ground is not None
    assert ground.get("width") == ground.get("height") == "100%"
    assert [one.tag for one in parsed].index(f"{SVG}path") > [*parsed].index(ground)
