"""Compare the documents with the repository: links, commands, settings, names of files and modules. `make check` runs it."""

import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import typer

from service.cli.commands import app
from service.settings import Settings, shown
from service.settings.sources import ENV_PREFIX, NESTED

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"(\s*)(`{3,}|~{3,})\s*(\w*)")
HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*")
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
LINK = re.compile(r"""(?:\]\(\s*<?|^ {0,3}\[(?!\^)[^\]]+\]:\s+<?|\b(?:href|src)=")([^\s)>"]*)""")
URL = re.compile(r"https?://[\w.-]+(:\d+)?([/?#]\S*)?|mailto:\S+")
NOT_A_WORD = re.compile(r"\\\n|\d?>+&?\s*[^\s;|&]+")  # a line continuation, or a redirection
BEFORE_A_COMMAND = re.compile(r"\w+=.*|env|exec|export|sudo|time", re.DOTALL)
PATH = re.compile(
    r"(?:\./|--?[\w-]+=)?((?:benchmarks|config|docs|examples|requirements|service|tests)/[\w./*-]*)(?:::.*)?"
)

NAME = re.compile(
    r"(?P<path>(?:benchmarks|config|docs|examples|requirements|service|tests)/[\w./-]*)(?:::\w+)?"
    r"|(?P<module>service(?:\.\w+)+)(?<!\.py)(?::(?P<attribute>\w+))?"
    r"|(?P<test>(?:\w+/)*(?:test_\w+\.py|\w+/))"
)
"""A file or folder; a module or a name in it; a module or folder of tests, below `tests/`."""
EXAMPLE = re.compile(r"\bnotes\b|_notes\b")  # the resource that the how-to adds
MENTION = re.compile(r"\bdocs/[\w./-]+\.(?:md|svg)\b")

NOT_IN_CI = {"run"}  # it serves until it is stopped; tests/test_main.py starts the same command

Finding = tuple[int, str]
"""The line of a link, command or name, and the mistake in it: an empty string if there is no mistake."""


def lines(document: Path) -> Iterator[tuple[int, str | None, str]]:
    """Yield each line with its number and the language of its fenced block, `None` outside a block."""
    fence = indent = language = ""
    for number, text in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if fence and text.strip().startswith(fence) and not text.strip(f" {fence[0]}"):
            fence = ""
        elif fence:
            yield number, language, text.removeprefix(indent)
        elif opening := FENCE.match(text):
            indent, fence, language = opening.groups()
        else:
            yield number, None, text


def links(document: Path) -> Iterator[Finding]:
    """Check that each link leads to an existing file or heading, or has the form of a URL."""
    for number, language, text in lines(document):
        for target in LINK.findall(CODE.sub("", text)) if language is None else ():
            path, _, heading = unquote(target).partition("#")
            file = (document.parent / path).resolve() if path else document
            there = target and file.is_relative_to(ROOT) and file.exists()
            there = there and (not heading or file.suffix != ".md" or heading in anchors(file))
            yield number, "" if there or URL.fullmatch(target) else f"the link {target!r} leads to no file or heading"


def anchors(document: Path) -> Iterator[str]:
    """Yield the anchors that GitHub makes for the headings."""
    seen: Counter[str] = Counter()
    for _, language, text in lines(document):
        if language is None and (heading := HEADING.fullmatch(text)):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            yield f"{slug}-{seen[slug]}" if seen[slug] else slug
            seen[slug] += 1


def commands(document: Path) -> Iterator[Finding]:
    """Check that each command of a shell block names existing targets, options, modules and files."""
    script, start = "", 0
    for number, language, text in lines(document):
        if language in {"sh", "bash", "console"} and (script or language != "console" or text.startswith("$ ")):
            script, start = (f"{script}\n{text}", start) if script else (text.removeprefix("$ "), number)
            lexer = shlex.shlex(NOT_A_WORD.sub(" ", script), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            try:
                words = list(lexer)
            except ValueError:  # a quote or a backslash is open: the command continues in the next line
                continue
            script = ""
            for is_end, part in groupby(words, lambda word: not word.strip("();<>|&")):
                if not is_end and (command := list(dropwhile(BEFORE_A_COMMAND.fullmatch, part))):
                    yield start, "; ".join(wrong_words(command))
    if script:
        yield start, "a quote or a backslash is left open"


def wrong_words(words: list[str]) -> Iterator[str]:
    """Yield the names in a command that do not exist in the repository."""
    name, arguments = Path(words[0]).name, words[1:]
    if name == "make":
        yield from wrong_targets(word for word in arguments if not re.match(r"-|\w+=", word))
    if name == "poolkeeper":
        yield from wrong_arguments(arguments)
    if name.startswith("python") and "-m" in arguments[:-1]:
        module = ROOT.joinpath(*arguments[arguments.index("-m") + 1].split("."))
        ours = ROOT.joinpath(module.relative_to(ROOT).parts[0]).is_dir()
        if ours and not module.with_suffix(".py").exists() and not (module / "__main__.py").exists():
            yield f"there is no module {'.'.join(module.relative_to(ROOT).parts)}"
    for path in filter(None, map(PATH.fullmatch, words)):
        if name not in {"mkdir", "touch", "cp", "mv"} and not any(ROOT.glob(path[1])):
            yield f"there is no {path[1]}"


def wrong_targets(words: Iterable[str]) -> Iterator[str]:
    """Yield the targets that the Makefile lacks or that CI does not run."""
    makefile, ci = ((ROOT / file).read_text(encoding="utf-8") for file in ("Makefile", ".ci/run"))
    targets = " ".join(re.findall(r"^([a-z][\w -]*):(?!=)", makefile, re.MULTILINE)).split()
    run_in_ci = " ".join(re.findall(r"^ *make (.*)", ci, re.MULTILINE)).split()
    for word in words:
        if word not in targets:
            yield f"the Makefile has no target {word}"
        elif word not in run_in_ci and word not in NOT_IN_CI:
            yield f".ci/run does not run make {word}"


def wrong_arguments(arguments: list[str]) -> Iterator[str]:
    """Yield the subcommands, arguments and options that `poolkeeper` lacks."""
    command: Any = typer.main.get_command(app)
    rest = iter(arguments)
    given = 0
    for word in rest:
        option, _, value = word.partition("=")
        known = [parameter for parameter in command.params if option in {*parameter.opts, *parameter.secondary_opts}]
        if known and not value and not known[0].is_flag:
            next(rest, None)
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
        elif not word.startswith("-") and given < sum(p.param_type_name == "argument" for p in command.params):
            given += 1
        elif not known and word != "--help":
            yield f"`{command.name}` has no {word}"


def variables(document: Path) -> Iterator[Finding]:
    """Check that each `POOLKEEPER_...` is a setting, or the first part of one if it ends with `__`."""
    keys = dict(shown(Settings.model_construct())).keys() - {"environment"} | {"env", "config_dir", "secrets_dir"}
    known = [ENV_PREFIX + key.upper().replace(".", NESTED) for key in keys]
    for number, _, text in lines(document):
        for name in re.findall(rf"\b{ENV_PREFIX}[A-Z0-9_]+", text):
            right = name in known or (name.endswith(NESTED) and any(setting.startswith(name) for setting in known))
            yield number, "" if right else f"there is no setting {name}"


def names(document: Path) -> Iterator[Finding]:
    """Check that each file, module and test in backticks exists."""
    for number, language, text in lines(document):
        for _, code in CODE.findall(text) if language is None else ():
            if (name := NAME.fullmatch(code)) and not re.search(EXAMPLE, code):
                yield number, "" if exists(name) else f"there is no {code}"


def exists(name: re.Match[str]) -> bool:
    """Return whether the repository has the file or module of this name."""
    if name["path"]:
        return (ROOT / name["path"]).exists()
    if name["test"]:
        return (ROOT / "tests" / name["test"]).exists()
    *packages, last = name["module"].split(".")
    if name["attribute"]:
        return has(ROOT.joinpath(*packages, last), name["attribute"])
    module = ROOT.joinpath(*packages, last)
    return has(module) or has(ROOT.joinpath(*packages), last)


def has(module: Path, attribute: str = "") -> bool:
    """Return whether the module exists and its text contains the attribute. Importing `service.main` has side effects."""
    files = [file for file in (module.with_suffix(".py"), module / "__init__.py") if file.exists()]
    return any(re.search(rf"\b{attribute}\b", file.read_text(encoding="utf-8")) for file in files)


def mentions(source: Path) -> Iterator[Finding]:
    """Check that each page of `docs/` that a source file mentions exists."""
    for number, text in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        for page in MENTION.findall(text):
            yield number, "" if (ROOT / page).exists() else f"there is no {page}"


if __name__ == "__main__":
    entrance = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/README.md"]
    pages = [*entrance, *sorted((ROOT / "docs").rglob("*.md"))]
    sources = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / ".ci/run", ROOT / "containers.py"]
    for folder in ("service", "tests", "benchmarks", "examples"):
        sources.extend(sorted((ROOT / folder).rglob("*.py")))
    checks = (
        (links, pages),
        (commands, pages),
        (variables, pages),
        (names, [*pages, ROOT / "CHANGELOG.md"]),
        (mentions, sources),
    )
    found = [(check.__name__, page, *finding) for check, part in checks for page in part for finding in check(page)]
    if mistakes := [f"{page.relative_to(ROOT)}:{line}: {mistake}" for _, page, line, mistake in found if mistake]:
        sys.exit("\n".join(mistakes))
    counts = ", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, *_ in found).items())
    sys.stdout.write(f"{len(pages)} documents: {counts}\n")
