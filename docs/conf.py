"""How the site is built: `nox -s docs`, or `sphinx-build docs _site`."""

import ast
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.nodes import make_refnode

import ravine

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
OUTSIDE = {
    "benchmarks/README.md": "/benchmarks.md",
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "README.md": "/index.md",
}
"""Which page stands for a file outside this folder."""

project = "Ravine"
author = copyright = "The Ravine authors"
version = release = ravine.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_site"]
nitpicky = True

# Pages are Markdown that GitHub shows too, with its anchors; `make.md#run` is a link to a heading.
myst_heading_anchors = 4
myst_enable_extensions = ["linkify"]
myst_linkify_fuzzy_links = False

# Docstrings are in Google's style. What a field may be stands under Args, in words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 500
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"Ravine {release}"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0060A0", "color-brand-content": "#0060A0"},
    "dark_css_variables": {"color-brand-primary": "#6CB8E8", "color-brand-content": "#6CB8E8"},
}
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """What the site does beyond Sphinx."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    app.connect("source-read", lead_inside)
    app.connect("source-read", add_examples)
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("doctree-read", strip_code)
    app.connect("doctree-resolved", link_names)


def lead_inside(app: Any, page: str, source: list[str]) -> None:
    """Lead links to files that are pages here to those pages; on GitHub they lead to the files."""
    for file, here in OUTSIDE.items():
        source[0] = re.sub(rf"\]\((\.\./)+{re.escape(file)}", f"]({here}", source[0])


def add_examples(app: Any, page: str, source: list[str]) -> None:
    """Add to the page of examples what each says about itself, and its code."""
    for path in sorted(EXAMPLES.glob("*.py")) if page == "examples" else []:
        code = ast.parse(path.read_text(encoding="utf-8"))
        title, _, rest = (ast.get_docstring(code) or path.stem).partition("\n")
        source[0] += f"""
## {title.rstrip(".")}

{rest.strip().replace("``", "`")}

```{{literalinclude}} ../examples/{path.name}
:language: python
:lines: {code.body[1].lineno}-
```
"""


def inline_formula(writer: Any, node: Any) -> None:
    """Write a formula within a line as MathML, which browsers show without a script."""
    writer.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def formula(writer: Any, node: Any) -> None:
    """Write a formula of its own."""
    # As in LaTeX, a blank line begins another formula.
    for part in re.split(r"\n\s*\n", node.astext().strip()):
        bare = re.sub(r"\\begin\{cases\}.*?\\end\{cases\}", "", part, flags=re.DOTALL)
        rows = rf"\begin{{align*}}{part}\end{{align*}}" if re.search(r"\\\\|&", bare) else part
        writer.body.append(f'<div class="math">{mathml(rows, "block")}</div>\n')
    raise nodes.SkipNode


def mathml(latex: str, display: str) -> str:
    """A formula as MathML; an unknown command ends the build."""
    for command, known in {
        r"\arg": r"\operatorname{arg}",
        r"\langle": "⟨",
        r"\rangle": "⟩",
    }.items():
        latex = re.sub(re.escape(command) + r"(?![a-zA-Z])", lambda _, x=known: x, latex)
    out = convert(latex, display=display).replace(r"\_", "_")
    if "\\" in out:
        raise ValueError(f"a command in this formula cannot be shown: {latex}")
    return out


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Set the reference apart, and undo what napoleon does to `what it is: more about it`."""
    kind = next((line for line in lines if line.startswith(":type: ")), "")
    if what in ("attribute", "property") and kind:
        lines.remove(kind)
        lines[0] = f"{kind.removeprefix(':type: ')}: {lines[0]}"
    lines[:] = [re.sub(r"^Reference: ", "**Reference:** ", line) for line in lines]


def strip_code(app: Any, doctree: Any) -> None:
    """Take away the blank line with which an example ends, so that doctest sees its end."""
    for block in doctree.findall(nodes.literal_block):
        if block.rawsource == block.astext():
            block.rawsource = block.rawsource.rstrip()
            block[:] = [nodes.Text(block.rawsource)]


def link_names(app: Any, doctree: Any, page: str) -> None:
    """Lead from every public name in code letters to its place in the reference."""
    known = app.env.domains["py"].objects
    for literal in list(doctree.findall(nodes.literal)):
        name = re.match(r"(?:rv\.)?([A-Za-z][\w.]*)(?:\(.*\))?$", literal.astext())
        place = name and (
            known.get(f"ravine.{name[1]}") or known.get(f"ravine.schedules.{name[1]}")
        )
        above = literal.parent
        if not place or not isinstance(above, nodes.Element) or literal.next_node(nodes.reference):
            continue
        if isinstance(above, (nodes.reference, nodes.title)):
            continue
        # A word such as `lanes` or `line` is a name of ours only with the module before it.
        if not literal.astext().startswith("rv.") and not name[1][0].isupper():
            continue
        link = make_refnode(app.builder, page, place.docname, place.node_id, literal.deepcopy())
        above.replace(literal, link)
