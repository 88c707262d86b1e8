"""What MkDocs does here beside its own: pages that are made of other files, and links to these.

The README is the home page, the notebook is a page with its stored outputs, and the reference has a
page for each public module. Whatever else of the repository a page links to comes along below
`source/`, so that every link is checked and works without a network.
"""

from __future__ import annotations

import inspect
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import ensemble_jax

ROOT = Path(__file__).parent.parent
HOME, NOTEBOOK = "README.md", "docs/getting_started.ipynb"
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^()\s]+)\)")
_FOREIGN = re.compile(r'<script src="?https://unpkg[^>]*></script>')
_FENCED = re.compile(r"(?ms)^(```+).*?^\1\s*$")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of `docs`, and all that pages link to outside of it."""
    files.append(File.generated(config, "index.md", content=(ROOT / HOME).read_text("utf-8")))
    for uri, content in (*_notebook_pages(), *_reference_pages()):
        files.append(File.generated(config, uri, content=content))
    waiting = [HOME, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen = set()
    while waiting:
        source = waiting.pop()
        path = ROOT / source
        if not source.endswith(".md") or not path.is_file():
            continue
        for target in _targets(path.read_text("utf-8")):
            linked = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
            outside = not linked.startswith(("docs/", "../")) and linked != HOME
            if outside and linked not in seen and (ROOT / linked).is_file():
                seen.add(linked)
                waiting.append(linked)
                files.append(
                    File.generated(config, f"source/{linked}", abs_src_path=str(ROOT / linked))
                )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into those of the site."""
    uri = page.file.src_uri
    source = HOME if uri == "index.md" else uri.removeprefix("source/")
    if source == uri and uri != "index.md":
        source = f"docs/{uri}"

    def rewrite(match: re.Match) -> str:
        image, text, target = match.groups()
        target, hash_sign, anchor = target.partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if (ROOT / linked).is_dir():
            return text
        new = posixpath.relpath(_uri(linked), posixpath.dirname(uri) or ".")
        return f"{image}[{text}]({new}{hash_sign}{anchor})"

    return _outside_code(lambda text: _LINK.sub(rewrite, text), markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Take out the one script from elsewhere, which pages opened from the disk search with."""
    return _FOREIGN.sub("", output)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The same of the page of addresses that there are not."""
    return _FOREIGN.sub("", output)


def _uri(source: str) -> str:
    """Where a file of the repository is in the site."""
    if source == HOME:
        return "index.md"
    if source == NOTEBOOK:
        return "getting_started.md"
    return source.removeprefix("docs/") if source.startswith("docs/") else f"source/{source}"


def _outside_code(change, markdown: str) -> str:
    """Change the text between fenced blocks."""
    parts, end = [], 0
    for block in _FENCED.finditer(markdown):
        parts += [change(markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(markdown[end:])])


def _targets(markdown: str) -> Iterator[str]:
    """What a page links to, without anchors and addresses."""
    for found in _LINK.finditer(_FENCED.sub("", markdown)):
        target = found[3].partition("#")[0]
        if target and not re.match(r"[a-z]+:", target):
            yield target


def _reference_pages() -> Iterator[tuple[str, str]]:
    """A page for the package, and one for each of its public modules."""
    modules = [name for name in ensemble_jax.__all__ if inspect.ismodule(_public(name))]
    rows = [f"| [`{name}`]({name}.md) | {_summary(_public(name))} |" for name in modules]
    names = [n for n in ensemble_jax.__all__ if n not in modules and not n.startswith("_")]
    yield (
        "api/index.md",
        "\n".join(
            [
                "# API reference",
                "\nEverything public is an attribute of `ensemble_jax`, on these pages `ej`.",
                "Arrays have the axes E (extents), N (members), M (examples) and K (classes), in",
                "this order.\n\n| module | |\n|---|---|",
                *rows,
                "",
                *(f"::: ensemble_jax.{name}" for name in names),
            ]
        ),
    )
    for name in modules:
        module = _public(name)
        yield (
            f"api/{name}.md",
            "\n".join(
                [
                    f"# ej.{name}\n",
                    inspect.getdoc(module) or "",
                    "",
                    *(_directive(module, member) for member in public_names(module)),
                ]
            ),
        )


def public_names(module) -> list[str]:
    """What a module offers: what `__all__` names, or else what it defines itself."""
    own = (
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )
    return list(getattr(module, "__all__", own))


def _directive(module, member: str) -> str:
    text = f"::: {module.__name__}.{member}"
    # What a submodule defines is named by the module, too.
    is_module = inspect.ismodule(getattr(module, member))
    return f"{text}\n    options: {{members: false}}\n" if is_module else text


def _public(name: str):
    return getattr(ensemble_jax, name)


def _summary(module) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]


def _notebook_pages() -> Iterator[tuple[str, str]]:
    """The notebook as a page, with the outputs that are stored in it."""
    notebook = json.loads((ROOT / NOTEBOOK).read_text("utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts += [shown for output in cell["outputs"] if (shown := _output(output))]
    yield "getting_started.md", "\n\n".join(parts) + "\n"


def _output(output: dict) -> str:
    """What a cell has put out, as Markdown."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        return f'<div markdown="0">{"".join(data["text/html"])}</div>'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
