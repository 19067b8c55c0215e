"""Build the site from the Markdown that exists: `python docs/site.py [FOLDER]` writes build/site, or FOLDER.

The pages are those of the checkout, at their own paths, so that a link means the same on GitHub and here. Added are
what only a site needs: the list of pages beside the text, in the order of docs/README.md; an index where a link names
a folder; and the API, from docstrings. A link that leads nowhere, or any other warning of Sphinx, is an error.
"""

import inspect
import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")
API = (
    "zoo", "zoo.gan", "zoo.variants", "zoo.backbones", "zoo.dynamics", "zoo.stabilizers", "zoo.schedules",
    "zoo.penalties", "zoo.datamodules", "zoo.metrics", "zoo.metrics.features", "zoo.callbacks", "zoo.diagnostics",
    "zoo.run.pictures", "zoo.run.films", "zoo.types",
)  # fmt: skip
SETTINGS: dict[str, Any] = {
    "project": "GAN zoo",
    "extensions": ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"],
    "root_doc": "docs/README",
    "html_theme": "furo",
    "html_title": "GAN zoo",
    "html_show_sphinx": False,
    "html_copy_source": False,
    "default_role": "code",
    "nb_execution_mode": "off",
    "myst_heading_anchors": 3,
    "myst_enable_extensions": [],
    "autodoc_typehints": "none",
    "autodoc_member_order": "bysource",
    "autodoc_default_options": {"members": True, "show-inheritance": True},
    "napoleon_custom_sections": [("Logs", "params_style")],
    "toc_object_entries": False,
    "suppress_warnings": ["misc.highlighting_failure"],
}


def stage(source: Path) -> None:
    """Copy the pages, and whatever they link to, into an empty folder, and write the pages that only a site has."""
    shutil.rmtree(source, ignore_errors=True)
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/notebooks/*.ipynb")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for link in {m[1] for m in LINK.finditer(text)} if page.suffix == ".md" else ():
            target = (page.parent / link).resolve()
            if target.is_dir():
                text = text.replace(f"]({link})", f"]({link.rstrip('/')}/index.md)")
                _put(source / target.relative_to(ROOT) / "index.md", _index(target))
            elif target.suffix not in (".md", ".ipynb") and target.is_file():
                _put(source / target.relative_to(ROOT), target.read_bytes())
        _put(source / page.relative_to(ROOT), text)
    for name in API:
        _put(source / f"api/{name}.rst", _module(name))
    root = source / "docs/README.md"
    _put(root, root.read_text(encoding="utf-8") + _contents(root.read_text(encoding="utf-8"), pages))


def _put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _index(folder: Path) -> str:
    """A folder's pages, or its files as they are."""
    pages = sorted(folder.glob("*.md"))
    if pages:
        return f"# {folder.name.capitalize()}\n\n" + _toctree("Pages", [page.name for page in pages], "")
    files = "\n\n".join(f"## {p.name}\n\n```yaml\n{p.read_text('utf-8')}```" for p in sorted(folder.glob("*.yaml")))
    return f"# {folder.name.capitalize()}\n\n{files}\n"


def _contents(index: str, pages: list[Path]) -> str:
    """The list beside the text: a part for each heading of the index, with the pages first named under it."""
    parts: list[str] = []
    seen = {"README.md", "../README.md", "../CONTRIBUTING.md", "../SECURITY.md"}
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        links = [m[1] for m in LINK.finditer(section) if m[1].endswith((".md", ".ipynb"))]
        fresh = [link for link in dict.fromkeys(links) if link not in seen]
        seen |= set(fresh)
        parts.append(_toctree(section.partition("\n")[0], fresh))
    rest = ["../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md"]
    parts.append(_toctree("Reference", ["../configs/index.md", *(f"../api/{name}" for name in API)]))
    parts.append(_toctree("Project", rest))
    return "\n" + "\n".join(parts)


def _toctree(caption: str, entries: list[str], hidden: str = ":hidden:\n") -> str:
    if not entries:
        return ""
    return f"```{{toctree}}\n:caption: {caption}\n{hidden}\n" + "\n".join(entries) + "\n```\n"


def _module(name: str) -> str:
    """What a module offers: its `__all__`, or all that is defined in it."""
    module = import_module(name)
    names = getattr(module, "__all__", None)
    options = "   :imported-members:\n" if names else ""
    return f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n{options}"


def docstring(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: `code` and sections mean something; what else is indented is shown as it is."""
    made: list[str] = []
    section = literal = False
    for line in lines:
        indented = line.startswith(" ")
        if line and not indented:
            section, literal = bool(re.fullmatch(r"(Args|Raises|Logs|Returns|Attributes|Yields):", line)), False
        if indented and not section and not literal:
            made += [*([""] if made and made[-1] else []), ".. code-block:: text", ""]
            literal = True
        elif line and not indented and made and made[-1].startswith(" "):
            made.append("")
        plain = [
            part if i % 2 else re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part) for i, part in enumerate(line.split("`"))
        ]
        made.append(line if literal else "`".join(plain))
    lines[:] = made


def signature(
    app: Sphinx, what: str, name: str, of: Any, options: object, text: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Of a class that of its constructor, also where `__new__` takes anything; without types, which the text tells."""
    if what != "class" or of.__init__ is object.__init__:
        return text, returned
    _, *parameters = inspect.signature(of.__init__).parameters.values()
    return str(inspect.Signature([each.replace(annotation=inspect.Parameter.empty) for each in parameters])), None


def build(folder: Path) -> None:
    """Write the site; raises if Sphinx warns."""
    source = folder.parent / f"{folder.name}-pages"
    stage(source)
    settings = {**SETTINGS}
    app = Sphinx(
        source, None, folder, folder.parent / f"{folder.name}-cache", "html", settings, status=None, freshenv=True,
        warningiserror=True, exception_on_warning="-x" in sys.argv,
    )  # fmt: skip
    app.connect("autodoc-process-docstring", docstring, priority=1)
    app.connect("autodoc-process-signature", signature)
    app.build()
    if app.statuscode:
        raise SystemExit(app.statuscode)
    _put(folder / "index.html", '<!doctype html><meta http-equiv="refresh" content="0; url=docs/README.html">\n')
    print(os.path.relpath(folder / "index.html"))


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/site").resolve())
