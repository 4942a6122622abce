"""The documentation holds: its links lead somewhere, and what it says of settings, functions, codes and commands is so."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from email_core import maillog
from email_core.data_plane.operation import OperationStatus, RecipientStatus
from email_core.delivery import simulator
from tests.layout.sources import ROOT

DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "bench" / "README.md", *sorted(DOCS.rglob("*.md")))
SENDING_EXAMPLES = ("send.py", "send.mjs", "Send.cs", "Send.java", "send.sh")
SMTP_EXAMPLES = ("smtp_swaks.sh", "smtp_msmtp.sh", "smtp_send.py", "smtp_send.mjs", "smtp_postfix.sh")
SOURCE_FOLDERS = (ROOT, ROOT / "email_core", ROOT / "email_core" / "delivery", DOCS / "examples")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The text without its fenced blocks, where brackets are no links."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {anchor_of(heading) for heading in headings}


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$\n(.*?)(?=^#{{1,2}} |\Z)", text_of(page), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no heading {heading!r}"
    return found[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_links_to_files_and_headings_that_exist(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_source_files_that_exist(page: Path) -> None:
    named = re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|toml))`", without_code(page.read_text(encoding="utf-8")))
    named = [name for name in named if name != "your_program.py"]

    assert [name for name in named if not any((folder / name).is_file() for folder in SOURCE_FOLDERS)] == []


def test_pages_are_all_reached_from_the_readme() -> None:
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text_of("README.md"))}

    assert [page.name for page in sorted(DOCS.glob("*.md")) if f"docs/{page.name}" not in linked] == []


def test_how_to_lists_every_section_of_its_pages() -> None:
    listed = re.findall(r"\]\((howto/[^)#]+#[^)]+)\)", text_of("docs/howto.md"))
    pages = {page: without_code(page.read_text(encoding="utf-8")) for page in (DOCS / "howto").glob("*.md")}
    sections = {page: re.findall(r"^## (.+)$", text, re.MULTILINE) for page, text in pages.items()}

    assert len(sections) > 1
    assert sorted(listed) == sorted(f"howto/{page.name}#{anchor_of(name)}" for page in sections for name in sections[page])
    assert [page.name for page, text in pages.items() if not all(f"](#{anchor_of(s)})" in text for s in sections[page])] == []


def test_picture_of_the_flow_is_well_formed_and_described() -> None:
    root = ElementTree.parse(DOCS / "flow.svg").getroot()
    names = [element.tag.rpartition("}")[2] for element in root.iter()]

    assert "(docs/flow.svg)" in text_of("README.md")
    assert names[:3] == ["svg", "title", "desc"]
    assert "image" not in names and "script" not in names


@pytest.mark.parametrize("name", SENDING_EXAMPLES)
def test_readme_shows_the_example_as_it_is(name: str) -> None:
    shown = re.findall(rf"<!-- docs/examples/{re.escape(name)} -->\n```\w+\n(.*?)\n```", text_of("README.md"), re.DOTALL)

    assert shown == [(DOCS / "examples" / name).read_text(encoding="utf-8").rstrip("\n")]


@pytest.mark.parametrize("name", ["administer.py", "watch_domain.py", *SMTP_EXAMPLES])
def test_howto_shows_the_example_as_it_is(name: str) -> None:
    text = text_of(f"docs/howto/{'smtp' if name in SMTP_EXAMPLES else 'administer'}.md")
    shown = re.findall(rf"<!-- docs/examples/{re.escape(name)} -->\n```\w+\n(.*?)\n```", text, re.DOTALL)

    assert shown == [(DOCS / "examples" / name).read_text(encoding="utf-8").rstrip("\n")]


def test_examples_send_the_same_message() -> None:
    examples = [(DOCS / "examples" / name).read_text(encoding="utf-8") for name in SENDING_EXAMPLES]
    subject, text = "Hello from Postrider", "A mail with text, HTML, an attachment and an inline image."
    stamp = re.search(r"iVBORw0KGgo[\w+/]+", examples[0])

    assert stamp
    assert all(each in example for example in examples for each in (subject, text, "cid:stamp", "list.csv", stamp[0]))


def test_shell_example_is_valid_bash() -> None:
    done = subprocess.run(["bash", "-n", DOCS / "examples" / "send.sh"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_settings_of_the_code_are_those_of_the_install_page() -> None:
    read = set(re.findall(r'"(POSTRIDER_\w+)"', text_of("email_core/settings.py")))
    suffixes = re.findall(r'f"\{prefix\}(__\w+)"', text_of("email_core/settings.py"))
    read |= {"AzureWebJobsStorage", *(f"AzureWebJobsStorage{suffix}" for suffix in suffixes)}
    listed = re.findall(
        r"^\| `(POSTRIDER_\w+|AzureWebJobsStorage\w*)` \|", section("docs/install.md", "Settings"), re.MULTILINE
    )

    assert len(read) > 15
    assert sorted(listed) == sorted(read)


def test_settings_that_every_installation_decides_are_in_the_sample() -> None:
    sample = text_of("local.settings.sample.json")
    decided = ("AzureWebJobsStorage", "POSTRIDER_SEALING_KEY", "POSTRIDER_ROUTES")

    assert [name for name in decided if f'"{name}"' not in sample] == []


def test_settings_named_anywhere_in_the_docs_exist() -> None:
    known = set(re.findall(r"POSTRIDER_\w+", text_of("email_core/settings.py") + text_of("local/world.py")))
    named = {name for page in PAGES for name in re.findall(r"POSTRIDER_\w+", page.read_text(encoding="utf-8"))}

    assert named - known == set()


def test_flow_names_functions_that_are_in_their_files() -> None:
    text = " ".join(text_of("docs/flow.md").split())
    named = re.findall(r"`([A-Za-z_][\w.]*)`,? \(?`([\w/]+\.py)`", text)

    assert len(named) > 10
    assert [f"{file}: {name}" for name, file in named if not _is_defined(name, file)] == []


def test_flow_names_methods_that_exist() -> None:
    methods = re.findall(r"`([A-Z]\w+\.[a-z_]\w*)`", text_of("docs/flow.md"))
    files = [str(file.relative_to(ROOT)) for file in sorted((ROOT / "email_core").rglob("*.py"))]

    assert len(methods) > 5
    assert [name for name in methods if not any(_is_defined(name, file) for file in files)] == []


def _is_defined(name: str, file: str) -> bool:
    path = next((folder / file for folder in (ROOT, ROOT / "email_core") if (folder / file).is_file()), None)
    return path is not None and name in set(_definitions(ast.parse(path.read_text(encoding="utf-8"))))


def _definitions(node: ast.AST, prefix: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
            yield f"{prefix}{child.name}"
            yield from _definitions(child, f"{child.name}.")
        else:
            yield from _definitions(child, prefix)


def test_error_codes_of_the_code_are_in_the_docs() -> None:
    modules = [ROOT / "email_core" / "data_plane" / "refusals.py", *(ROOT / "email_core" / "management").glob("*.py")]
    modules += (ROOT / "email_core" / "administration").glob("*.py")
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    codes = set(re.findall(r'(?:Fault|conflict|refused)\(\s*"([A-Z]\w+)"', source))
    told = set(re.findall(r"\w+", text_of("docs/api.md") + text_of("docs/specifications.md")))

    assert len(codes) > 30
    assert codes - told == set()


def test_states_of_operations_and_recipients_are_in_the_docs() -> None:
    rows = re.findall(r"^\| (\w+) \|", section("docs/api.md", "The operation"), re.MULTILINE)
    never = {OperationStatus.CANCELED}  # defined by ACS, and nothing can be cancelled here

    assert set(rows) - {"status"} == {*map(str, OperationStatus), *map(str, RecipientStatus)} - never


def test_test_recipients_are_those_of_the_simulator() -> None:
    table = section("docs/howto/local.md", "Make a send fail on purpose")
    listed = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)@`", row)]

    assert sorted(listed) == sorted(simulator._REPLIES)


def test_events_of_the_mail_log_are_in_the_docs() -> None:
    source = Path(maillog.__file__).read_text(encoding="utf-8")
    events = set(re.findall(r'_write\(\s*logging\.\w+,\s*"([\w-]+)"', source)) | {"fault"}
    rows = re.findall(r"^\| (`.*?) \|", section("docs/howto/operate.md", "Read the mail log"), re.MULTILINE)

    assert {event for row in rows for event in re.findall(r"`([\w-]+)`", row)} == events


def test_commands_in_the_docs_are_those_of_the_command_line() -> None:
    commands = _command_options()
    wrong = []
    for page in PAGES:
        for command, rest in re.findall(r"\./postrider ([a-z]+)([^`\n]*)", page.read_text(encoding="utf-8")):
            ours = rest.partition(" -- ")[0].partition("#")[0]
            unknown = set(re.findall(r"(?<!\S)--[a-z-]+", ours)) - commands.get(command, set())
            if command not in commands or unknown:
                wrong.append(f"{page.name}: ./postrider {command}{rest}")

    assert wrong == []


def _command_options() -> dict[str, set[str]]:
    from local.cli import parser

    return {name: _options(command) for name, command in _sub_commands(parser()).items()}


def _options(command: argparse.ArgumentParser) -> set[str]:
    """Those of a command and of its actions."""
    own = {option for action in command._actions for option in action.option_strings}
    return own.union(*map(_options, _sub_commands(command).values()))


def _sub_commands(command: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0].choices) if groups else {}
