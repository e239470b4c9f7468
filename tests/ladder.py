#!/usr/bin/env python3
"""Keeps the chapters' copies in step.

Every chapter is a whole copy of the one it grew from, so that the difference of two neighbours is the lesson. This
tool makes the copying safe. It knows code by symbol (function, type, constant), not by line: universal-ctags says what a
file declares, and a symbol's text goes from the comment directly above it to its last brace or semicolon.

What a chapter changes is said once, in its note, as a list under "## What changes":

    - `conn_close`, `conn_new`: why     changed against the parent
    - new `clock_handler`: why          the parent does not have it (gone: only the parent has it)
    - moved `server::listen`: why       it stands in another file, or in another order

A symbol is written as C++ qualifies it, with its file in front (`conn.cpp::helper`) where the name alone would cover
too much. A type's members, and what is defined inside it, belong to the type.
"""

import argparse
import ast
import difflib
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MOST_CHANGED = 300  # lines added or changed against the parent: "about 250"
LIMITS = {  # other ones, and why
    "14-nc-forward": 950,  # buffers, messages, queues and the server's role come together or not at all
    "18-nc-stats": 420,  # two tables of names, and a thread
    "19-nc-redis": 350,  # a protocol, with all that it needs to be split and joined
}
LONGEST_FILE = 350
LONGEST_MAIN = 70


class Unusable(Exception):
    """What this tool cannot work with, such as a table that it cannot parse: one line on stderr, and status 2."""


def run(*command, ok=(0,), where=ROOT):
    """Returns (status, standard output) of a program run at the top of the tree; a status not in `ok` is Unusable."""
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unusable(f"{command[0]} is not installed") from None
    if done.returncode not in ok:
        raise Unusable(f"{' '.join(command[:2])}: {done.stderr.strip()}")
    return done.returncode, done.stdout


# ---- The table of chapters -------------------------------------------------------------------------------------------


class Chapter(NamedTuple):
    """One row of chapters/meson.build."""

    name: str
    parent: str
    idea: str
    sources: tuple

    def path(self, file):
        """Returns where one of its files lies."""
        return ROOT / "chapters" / self.name / file

    def text(self, file):
        """Returns the text of one of its files, or None where it has no such file."""
        return self.path(file).read_text() if self.path(file).is_file() else None

    def write(self, file, text):
        """Writes one of its files, or removes it where `text` is None. Returns nothing."""
        if text is None:
            self.path(file).unlink()
        else:
            self.path(file).write_text(text)

    def files(self):
        """Returns the names of its C++ files in the order of reading: as the table lists them, each after its header."""
        stems = [Path(source).stem for source in self.sources]

        def rank(file):
            """Returns what a file is sorted by."""
            stem = Path(file).stem
            return stems.index(stem) if stem in stems else len(stems), not file.endswith(".h"), file

        return sorted((path.name for path in self.path("").glob("*.*") if path.suffix in (".h", ".cpp")), key=rank)

    def symbols(self):
        """Returns {file: [Symbol, ...]}, each list from the top of the file to its end."""
        found = symbols_of(tuple(self.path(file) for file in self.files()))
        return {path.name: symbols for path, symbols in found.items()}


@functools.cache
def table():
    """Returns {name: Chapter} in the order of chapters/meson.build, where a parent stands above its children."""
    where = "chapters/meson.build"
    text = (ROOT / where).read_text() if (ROOT / where).is_file() else ""
    found = re.search(r"^chapters = (\{$.*?^\})", text, re.M | re.S)
    if not found:
        raise Unusable(f"{where}: no table that opens with a line `chapters = {{` and closes with a line `}}`")
    try:  # Meson writes strings, lists, dictionaries and comments as Python does; anything cleverer is refused.
        rows = ast.literal_eval("\n" * text.count("\n", 0, found.start()) + found[1])
    except SyntaxError as error:
        raise Unusable(f"{where}:{error.lineno}: cannot parse `{(error.text or '').strip()}`") from None
    except (ValueError, TypeError) as error:
        raise Unusable(f"{where}: only strings and lists of strings, written out: {error}") from None

    chapters = {}
    for name, row in rows.items():
        for key, kind in {"idea": str, "parent": str, "capabilities": list, "sources": list}.items():
            if not isinstance(row, dict) or key not in row:
                raise Unusable(f"{where}: {name} has no '{key}'")
            if not isinstance(row[key], kind) or not all(isinstance(item, str) for item in row[key]):
                raise Unusable(f"{where}: {name}: '{key}' must be a {'string' if kind is str else 'list of strings'}")
        if row["parent"] and row["parent"] not in chapters:
            raise Unusable(f"{where}: {name}: its parent '{row['parent']}' does not stand above it")
        if not row["sources"] or any("/" in source for source in row["sources"]):
            raise Unusable(f"{where}: {name}: 'sources' must name files of its own directory")
        chapters[name] = Chapter(name, row["parent"], row["idea"], tuple(row["sources"]))
    return chapters


def chapter_named(word):
    """Returns the chapter that `word` means: its name, its number, or any beginning that only one chapter has."""
    word = word.rstrip("/").split("/")[-1]
    fitting = [name for name in table() if name == word] or [name for name in table() if word and name.startswith(word)]
    if len(fitting) != 1:
        raise Unusable(f"'{word}' means {'several' if fitting else 'none'} of {', '.join(fitting or table())}")
    return table()[fitting[0]]


def descendants(chapter):
    """Returns the list of all that grew from a chapter, parents before children."""
    family = [chapter]
    for other in table().values():
        if other.parent in [member.name for member in family]:
            family.append(other)
    return family[1:]


# ---- Symbols ---------------------------------------------------------------------------------------------------------


class Symbol(NamedTuple):
    """A declaration or definition at the level of namespaces. `text` begins on line `first`, counted from 0."""

    name: str
    first: int
    text: str
    is_definition: bool


NOT_CODE = re.compile(  # comments, raw strings, strings, characters (but not the ' in 1'000)
    r"""//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'""", re.S
)
TYPES = ("struct", "class", "union", "enum")
KINDS = (*TYPES, "function", "prototype", "typedef", "variable")
UNSEEN = re.compile(  # by ctags 5.9: `constexpr auto pause = std::chrono::seconds{1};` and concepts
    r"^(?:(?:static|inline|constexpr|constinit|const|thread_local) +)+(?!namespace\b)"
    r"[\w:<>,&* ]*?\b(\w+)(?:\[\w*\])* *[={]|^concept (\w+) ="
)


def code_lines(text):
    """Returns the lines of `text` with its comments blanked and its literals filled with `_`: what is left is code."""
    return NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " " if found[0][0] == "/" else "_", found[0]), text).split("\n")


def first_line(lines, code, line):
    """Returns where the declaration named on `line` begins: attributes and templates above it, then its comment."""
    while line > 0 and code[line - 1].strip() and not re.search(r"^\s*#|[;{}]\s*$", code[line - 1]):
        line -= 1
    while line > 0 and lines[line - 1].strip() and not code[line - 1].strip():
        line -= 1
    return line


def last_line(code, line):
    """Returns where the declaration named on `line` ends, for the few whose end ctags does not tell."""
    depth = 0
    for here in range(line, len(code)):
        depth += sum((char in "([{") - (char in ")]}") for char in code[here])
        if depth <= 0 and re.search(r"[;}]\s*$", code[here]):
            return here
    return line


def plain(scoped_name):
    """Returns a C++ name without the parts that its author left unnamed and ctags calls `__anon...`."""
    return "::".join(part for part in scoped_name.split("::") if part and not part.startswith("__anon"))


def file_symbols(text, tags):
    """Returns the list of Symbols of one file, made from what ctags says about it."""
    lines, code = text.split("\n"), code_lines(text)
    types = [(plain(f"{tag.get('scope', '')}::{tag['name']}"), tag) for tag in tags if tag["kind"] in TYPES]
    symbols, covered = [], set()

    def is_part(tag):
        """Returns whether the tag lies in the body of a function or a type, and so belongs to that."""
        around = (body for name, body in types if name == plain(tag.get("scope", "")))
        in_type = any(body["line"] <= tag["line"] <= body.get("end", 0) for body in around)
        return in_type or tag.get("scopeKind") == "function" or tag["name"].startswith("__anon")

    def add(name, line, end, is_definition=True):
        """Adds the symbol whose name stands on `line`. Returns nothing."""
        first = first_line(lines, code, line)
        covered.update(range(first, end + 1))
        symbols.append(Symbol(name, first, "\n".join(lines[first : end + 1]), is_definition))

    for tag in tags:
        if tag["kind"] in KINDS and not is_part(tag):
            name = re.sub(r"^operator (?=\W)", "operator", tag["name"])
            end = tag["end"] - 1 if "end" in tag else last_line(code, tag["line"] - 1)
            add(plain(f"{tag.get('scope', '')}::{name}"), tag["line"] - 1, end, tag["kind"] != "prototype")
    for line, found in enumerate(map(UNSEEN.search, code)):
        if found and found[2]:  # what a concept requires looks like declarations to ctags
            end = last_line(code, line)
            symbols = [symbol for symbol in symbols if not line < symbol.first < end]
        if found and (found[2] or line not in covered):
            add(found[1] or found[2], line, last_line(code, line))
    return sorted(symbols, key=lambda symbol: symbol.first)


@functools.cache
def symbols_of(paths):
    """Returns {path: [Symbol, ...]} for a tuple of C++ files, each list from the top of the file to its end."""
    advice = "needs universal-ctags with JSON output: `apt install universal-ctags`, or `brew install universal-ctags`"
    try:
        can_write_json = re.search(r"^json\b", run("ctags", "--list-features")[1], re.M)
    except Unusable:  # there is none, or one that does not know that option
        can_write_json = False
    if not can_write_json:
        raise Unusable(advice)
    tags = {path: [] for path in paths}
    options = "--options=NONE --language-force=C++ --kinds-C++=+p --fields=+neKzZsS --output-format=json --sort=no -f -"
    for line in run("ctags", *options.split(), *map(str, paths))[1].splitlines() if paths else ():
        tag = json.loads(line)
        tags[Path(tag["path"])].append(tag)
    return {path: file_symbols(path.read_text(), found) for path, found in tags.items()}


# ---- check: what a chapter changes is what its note lists ------------------------------------------------------------

SAME, CHANGED, NEW, GONE, ELSEWHERE = "the same", "changed", "new", "gone", "in another file"
FITTING_VERBS = {SAME: (), CHANGED: ("",), NEW: ("new",), GONE: ("gone",), ELSEWHERE: ("", "new", "gone", "moved")}


def texts(chapter):
    """Returns {(file, symbol): its text}; overloads, and a declaration beside its definition, make one text."""
    found = {}
    for file, symbols in chapter.symbols().items():
        for symbol in symbols:
            found.setdefault((file, symbol.name), []).append(symbol.text)
    return {place: "\n".join(parts) for place, parts in found.items()}


@functools.cache
def compare(parent, chapter):
    """Returns {(file, symbol): SAME, CHANGED, NEW, GONE or ELSEWHERE} for every symbol of the two chapters."""
    before, now = texts(parent), texts(chapter)
    shared = {name for _, name in before} & {name for _, name in now}

    def status(place):
        """Returns how the symbol of one file fares."""
        if place in before and place in now:
            return SAME if before[place] == now[place] else CHANGED
        return ELSEWHERE if place[1] in shared else NEW if place in now else GONE

    return {place: status(place) for place in sorted({**before, **now})}


def out_of_order(parent, chapter, file, moved):
    """Returns two symbols of `file` that the parent has the other way round, leaving out those in `moved`, or None."""

    def names(which):
        """Returns the file's symbols in order; one that is declared and defined counts where it is defined."""
        position = {}
        for symbol in sorted(which.symbols().get(file, []), key=lambda symbol: not symbol.is_definition):
            position.setdefault(symbol.name, symbol.first)
        return sorted(position.keys() - moved, key=position.get)

    before, now = names(parent), names(chapter)
    pairs = zip([name for name in now if name in before], [name for name in before if name in now])
    return next((pair for pair in pairs if pair[0] != pair[1]), None)


BULLET = re.compile(r"^[-*] +(?:(new|gone|moved) +)?((?:`[^`]+`(?:, *| and | \+ )?)+) *(?::|–|—|-)")


def listed_changes(chapter):
    """Returns ([(verb, symbol), ...], [problem, ...]) of the note's "What changes"; the verb of a plain one is ''."""
    note = f"notes/{chapter.name}.md"
    text = (ROOT / note).read_text() if (ROOT / note).is_file() else ""
    section = re.search(r"^## What changes\b.*?$(.*?)(?=^##? |\Z)", text, re.M | re.S)
    if not section:
        return [], [f"{note}: {'has no section `## What changes`' if text else 'there is no such note'}"]
    bullets = [line for line in section[1].splitlines() if re.match(r"[-*] ", line)]
    found = {line: BULLET.match(line) for line in bullets}
    problems = [f"{note}: cannot read `{line}`: write - `symbol`: why" for line in bullets if not found[line]]
    return [(m[1] or "", symbol) for m in found.values() if m for symbol in re.findall(r"`([^`]+)`", m[2])], problems


def small_diff(before, now, before_name, now_name, most=24):
    """Returns a short unified diff of two texts, indented, to be appended to a message."""
    lines = [*difflib.unified_diff(before.split("\n"), now.split("\n"), before_name, now_name, n=1, lineterm="")]
    return "".join(f"\n    {line}" for line in lines[:most] + ["..."] * (len(lines) > most))


def did_you_mean(name, names):
    """Returns a hint at what a misspelt symbol may have meant, '' if nothing comes near."""
    near = difflib.get_close_matches(name, names, 2, 0.5)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def unlisted(parent, chapter, places):
    """Returns a list of problems: that the symbols at `places`, {(file, symbol): status}, differ and are not listed."""
    problems, before, now = [], texts(parent), texts(chapter)
    grouped = {}  # a new function that is declared and defined is one omission
    for (file, name), status in places.items():
        grouped.setdefault((name, status, file if status == CHANGED else ""), []).append(file)
    for (name, status, _), files in grouped.items():
        says = f"chapters/{chapter.name}: {', '.join(files)}: `{name}`"
        if status == CHANGED:
            shown = small_diff(before[files[0], name], now[files[0], name], parent.name, chapter.name)
            problems.append(f"{says} differs from {parent.name}, and the note does not list it{shown}")
        elif status == ELSEWHERE:
            problems.append(f"{says} is not in the file where {parent.name} has it: put it back, or list it as moved")
        else:
            problems.append(f"{says} is {status}, and the note does not list it: - {status} `{name}`: why")
    return problems


def symbol_problems(parent, chapter):
    """Returns a list of where the chapter's symbols and its note's list do not agree."""
    listed, problems = listed_changes(chapter)
    found = compare(parent, chapter)
    unexplained = {place for place in found if found[place] != SAME}
    moved = {re.sub(r"^[\w-]+\.(h|cpp)::", "", symbol) for verb, symbol in listed if verb == "moved"}
    for verb, symbol in listed:
        places = {place: found[place] for place in found if symbol in (place[1], "::".join(place))}
        explained = {place for place in places if verb in FITTING_VERBS[places[place]]}
        in_new_order = any(out_of_order(parent, chapter, file, moved - {name}) for file, name in places)
        unexplained -= explained
        if not places:
            hint = did_you_mean(symbol, [name for _, name in found])
            problems.append(f"notes/{chapter.name}.md: lists `{symbol}`, which neither chapter has{hint}")
        elif not explained and not (verb == "moved" and in_new_order):
            is_what = " and ".join(sorted(set(places.values())))
            problems.append(f"notes/{chapter.name}.md: lists `{symbol}` as {verb or 'changed'}, but it is {is_what}")
    problems += unlisted(parent, chapter, {place: found[place] for place in sorted(unexplained)})
    for file in parent.files():
        pair = out_of_order(parent, chapter, file, moved)
        if pair:
            says = f"chapters/{chapter.name}/{file}: `{pair[0]}` comes before `{pair[1]}`, unlike in {parent.name}"
            problems.append(f"{says}: put it back, or list one of them as moved")
    return problems


def chapter_problems(chapter):
    """Returns a list of what is wrong with a chapter by itself: lengths, includes, files that the table lacks."""
    here = f"chapters/{chapter.name}"
    missing = (file for file in chapter.sources if chapter.text(file) is None)
    problems = [f"{here}/{file}: is in the table, but not there" for file in missing]
    for file in chapter.files():
        lines, most = chapter.text(file).count("\n"), LONGEST_MAIN if file == "main.cpp" else LONGEST_FILE
        if lines > most:
            problems.append(f"{here}/{file}: {lines} lines; at most {most}")
        if file.endswith(".cpp") and file not in chapter.sources:
            problems.append(f"{here}/{file}: is there, but not in the table's 'sources'")
        for include in re.findall(r'^\s*#\s*include\s*["<]([^">]+)', chapter.text(file), re.M):
            if {"chapters", "..", *table()} & set(include.split("/")):
                problems.append(f'{here}/{file}: includes "{include}", but a chapter is whole by itself')
    return problems


def size_problems(parent, chapter):
    """Returns a list with what is wrong with how much a chapter changes: too much, or less than an exception is for."""
    added = line_counts(parent, chapter)[1]
    limit = LIMITS.get(chapter.name, MOST_CHANGED)
    if added > limit:
        return [f"chapters/{chapter.name}: {added} lines added or changed; at most {limit}"]
    if added <= MOST_CHANGED < limit:
        return [f"tests/ladder.py: LIMITS names {chapter.name}, which adds or changes only {added} lines"]
    return []


def check(args):
    """Runs `check`. Returns the exit status."""
    failures = 0
    for chapter in [chapter_named(word) for word in args.chapters] or table().values():
        problems = chapter_problems(chapter)
        print(f"{chapter.name}: a first chapter" if not chapter.parent else summary(table()[chapter.parent], chapter))
        if chapter.parent:
            problems += size_problems(table()[chapter.parent], chapter)
            problems += symbol_problems(table()[chapter.parent], chapter)
        failures += report(args, problems)
    print(f"ladder: {failures} errors" if failures else "ladder: the chapters are in step")
    return 1 if failures else 0


# ---- diff, list: reading ---------------------------------------------------------------------------------------------


def diff_files(parent, chapter, *options, part=lambda text: text):
    """Returns {file: what `git diff` with these options says of that part of it}, for what differs, in order of reading."""
    found = {}
    flags = ("--no-index", "--no-ext-diff", "--no-prefix", "--patience", *options)
    with tempfile.TemporaryDirectory() as room:
        for file in dict.fromkeys(chapter.files() + parent.files()):
            sides = []
            for which in (parent, chapter):
                text = which.text(file)
                side = Path("chapters", which.name, file)
                sides.append("/dev/null" if text is None else str(side))
                if text is not None:
                    Path(room, side).parent.mkdir(parents=True, exist_ok=True)
                    Path(room, side).write_text(part(text))
            if says := run("git", "diff", *flags, "--", *sides, ok=(0, 1), where=room)[1]:
                found[file] = says
    return found


def head_lines(text):
    """Returns how many lines open a file before its code: what it is, and its #includes."""
    lines = text.split("\n")
    return max((number for number, line in enumerate(lines, 1) if re.match(r"#(include|pragma)\b", line)), default=0)


def head(text):
    """Returns what a file says before its code."""
    return "".join(text.splitlines(keepends=True)[: head_lines(text)])


def body(text):
    """Returns the rest."""
    return "".join(text.splitlines(keepends=True)[head_lines(text) :])


def with_numbers(says, *heads):
    """Returns a diff of two bodies as one of files that open with so many lines, and without git's own first lines."""
    says = re.sub(r"^(\033\[\d*m)*(diff --git|index|new file mode|deleted file mode) .*\n", "", says, flags=re.M)

    def moved(found):
        """Returns both numbers of one hunk."""
        return f"{found[1]}@@ -{int(found[2]) + heads[0]}{found[3]} +{int(found[4]) + heads[1]}{found[5]} @@"

    return re.sub(r"^((?:\033\[\d*m)*)@@ -(\d+)(\S*) \+(\d+)(\S*) @@", moved, says, flags=re.M)


@functools.cache
def line_counts(parent, chapter):
    """Returns (files that differ, lines added or changed, lines removed or changed) of a chapter."""
    counts = [text.split("\t") for text in diff_files(parent, chapter, "--numstat").values()]
    return len(counts), sum(int(count[0]) for count in counts), sum(int(count[1]) for count in counts)


def summary(parent, chapter):
    """Returns one line that says how much a chapter changes."""
    files, added, removed = line_counts(parent, chapter)
    names = {status: set() for status in FITTING_VERBS}
    for (_, name), status in compare(parent, chapter).items():
        names[status].add(name)
    changed = len(names[CHANGED] | names[ELSEWHERE])
    return (
        f"{chapter.name} against {parent.name}: {files} files, {added} lines added or changed, {removed} removed; "
        f"{changed} symbols changed, {len(names[NEW])} new, {len(names[GONE])} gone"
    )


def diff(args):
    """Runs `diff`. Returns the exit status."""
    chapter = chapter_named(args.chapter)
    if not args.against and not chapter.parent:
        raise Unusable(f"{chapter.name} is a first chapter: say --against which other")
    other = chapter_named(args.against or chapter.parent)
    color = f"--color={'always' if args.color else 'never'}"
    code = [
        with_numbers(says, *(head_lines(which.text(file) or "") for which in (other, chapter)))
        for file, says in diff_files(other, chapter, color, part=body).items()
    ]
    heads = [with_numbers(says, 0, 0) for says in diff_files(other, chapter, color, part=head).values()]
    says = "What the files say of themselves, and what they include:\n" if heads else ""
    text = "\n".join(filter(None, [summary(other, chapter) + "\n", *code, says, *heads]))
    pager = os.environ.get("PAGER") or "less -FRX"
    if not sys.stdout.isatty() or subprocess.run(pager, shell=True, input=text, text=True).returncode == 127:
        print(text, end="")
    return 0


def list_chapters(args):
    """Runs `list`. Returns the exit status."""
    chapters = table().values()
    print(f"{'chapter':<20} {'parent':<20} {'lines':>5} {'added':>5}  idea")
    for chapter in chapters:
        lines = sum(chapter.text(file).count("\n") for file in chapter.files())
        added = line_counts(table()[chapter.parent], chapter)[1] if chapter.parent else ""
        print(f"{chapter.name:<20} {chapter.parent or '-':<20} {lines:>5} {added:>5}  {chapter.idea}")
    return 0


# ---- carry: an edit goes on to every descendant ----------------------------------------------------------------------


def edits_since(chapter, revision):
    """Returns {file: (old text, new text)} of what was edited in a chapter since a commit; None is a file's absence."""
    if run("git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", ok=range(256))[0]:
        raise Unusable(f"there is no commit {revision} to tell the edits by")
    here = f"chapters/{chapter.name}"
    committed = {Path(path).name for path in run("git", "ls-tree", "--name-only", revision, f"{here}/")[1].splitlines()}
    if not committed:
        raise Unusable(f"{here} is not in {revision}, so its edits cannot be told: commit it first")
    edits = {}
    for file in sorted({name for name in committed if name.endswith((".h", ".cpp"))} | set(chapter.files())):
        old = run("git", "show", f"{revision}:./{here}/{file}")[1] if file in committed else None
        if old != chapter.text(file):
            edits[file] = (old, chapter.text(file))
    return edits


def merge(chapter, ours, old, new):
    """Returns (text, whether it holds conflicts): `ours` with the change from `old` to `new`, by git merge-file."""
    labels = (chapter.name, f"{chapter.parent}, before", f"{chapter.parent}, edited")
    with tempfile.TemporaryDirectory() as room:
        files = [Path(room, side) for side in ("ours", "old", "new")]
        for file, text in zip(files, (ours, old, new)):
            file.write_text(text)
        named = itertools.chain(*(("-L", label) for label in labels))
        conflicts, merged = run("git", "merge-file", "-p", *named, *map(str, files), ok=range(128))
    return merged, conflicts > 0


def carry_into(chapter, edits, args):
    """Carries the parent's edits into a chapter. Returns (the chapter's own edits from it, files in conflict)."""
    own, conflicts = {}, []
    would = "would be " if args.dry_run else ""
    for file, (old, new) in edits.items():
        ours, clash = chapter.text(file), False
        if ours == new:
            result, says = ours, "has it already"
        elif ours is None and old is not None:
            result, says = ours, "left alone: this chapter has no such file"
        elif new is None and ours != old:
            result, says, clash = ours, f"CONFLICT: removed from {chapter.parent}, but different here", True
        elif None in (ours, new):
            result, says = new, would + ("removed" if new is None else "added")
        else:
            result, clash = merge(chapter, ours, old or "", new)
            says = f"CONFLICT: {would}marked by <<<<<<< and >>>>>>>" if clash else f"{would}carried"
            says = "has it already" if result == ours else says
        print(f"chapters/{chapter.name}/{file}: {red(args, says) if clash else says}")
        if clash:
            conflicts.append(file)
        if result != ours:
            own[file] = (ours, result)
            if not args.dry_run:
                chapter.write(file, result)
    return own, conflicts


def carry(args):
    """Runs `carry`. Returns the exit status."""
    start = chapter_named(args.chapter)
    for chapter in [start, *descendants(start)]:
        for file in chapter.files():
            if re.search(r"^(<{7}|>{7}) ", chapter.text(file), re.M):
                raise Unusable(f"chapters/{chapter.name}/{file} still holds conflict markers: mend it first")
    edits, stopped = {start.name: edits_since(start, args.base)}, {}
    print(f"{start.name}: edited since {args.base}: {', '.join(edits[start.name]) or 'nothing'}")
    for chapter in descendants(start):
        if chapter.parent in edits:
            own, conflicts = carry_into(chapter, edits[chapter.parent], args)
            if conflicts:
                stopped[chapter] = conflicts
            else:
                edits[chapter.name] = own
    for chapter, files in stopped.items():
        rest = ", ".join(other.name for other in descendants(chapter)) or "none"
        print(f"\nstopped at {chapter.name}; still to come after it: {rest}")
        print(f"mend {' and '.join(files)} in chapters/{chapter.name}, then: tests/ladder.py carry {chapter.name}")
    return 1 if stopped else 0


# ---- snippets: the code in a note is the code ------------------------------------------------------------------------


def source_of(address):
    """Returns the code that `path::symbol + symbol + ...` addresses; a LookupError says what of it is unknown."""
    sources, path = [], ""
    for part in address.split(" + "):
        place, _, symbol = part.strip().partition("::")
        if "/" in place:
            path = place
        else:
            symbol = part.strip()
        if not path or not symbol:
            raise LookupError(f"`{address}` is not of the form path/of/file.cpp::symbol")
        if not (ROOT / path).is_file():
            raise LookupError(f"there is no file {path}")
        name, number = re.fullmatch(r"(.*?)(?:#(\d+))?", symbol).groups()
        symbols = symbols_of((ROOT / path,))[ROOT / path]
        named = [symbol for symbol in symbols if symbol.name == name]
        named = [symbol for symbol in named if symbol.is_definition] or named
        if not 1 <= int(number or 1) <= len(named):
            raise LookupError(f"{path} has no `{symbol}`" + did_you_mean(name, [symbol.name for symbol in symbols]))
        sources.append(named[int(number or 1) - 1].text)
    return "\n\n".join(sources)


FENCED = re.compile(r"^( *)(`{3,}|~{3,})([^`\n]*)\n(.*?)(^ *\2[`~]* *$|\Z)", re.M | re.S)


def refreshed(text, name):
    """Returns (a note's text with its code made new, [what was stale, ...], [what is wrong, ...])."""
    stale, wrong = [], []

    def block(found):
        """Returns what one fenced block should be."""
        indent, fence, info, body, close = found.groups()
        language, _, address = info.strip().partition(" ")
        if language != "cpp" or not address:
            return found[0]
        where = f"{name}:{text.count(chr(10), 0, found.start()) + 1}"
        try:
            if not close:
                raise LookupError("this code block has no end")
            source = textwrap.indent(source_of(address) + "\n", indent)
        except LookupError as error:
            wrong.append(f"{where}: {error.args[0]}")
            return found[0]
        if body != source:
            stale.append(f"{where}: is not the code of {address}" + small_diff(body, source, "the note", "the code"))
        return f"{indent}{fence}{info}\n{source}{close}"

    return FENCED.sub(block, text), stale, wrong


def snippets(args):
    """Runs `snippets`. Returns the exit status."""
    failures = 0
    given = [Path(note) if Path(note).is_file() else f"notes/{chapter_named(note).name}.md" for note in args.notes]
    for note in given or [*sorted(ROOT.glob("notes/**/*.md")), *ROOT.glob("README.md")]:
        note = note if isinstance(note, Path) else ROOT / note
        name = os.path.relpath(note, ROOT)
        if not note.is_file():
            raise Unusable(f"there is no {name}")
        text, stale, wrong = refreshed(note.read_text(), name)
        if stale and args.write:
            note.write_text(text)
            print(f"{name}: code blocks refreshed: {len(stale)}")
        failures += report(args, wrong if args.write else stale + wrong)
    print(f"snippets: {failures} errors" if failures else "snippets: the code in the notes is the code")
    return 1 if failures else 0


# ---- The command line ------------------------------------------------------------------------------------------------

EPILOGS = {
    "": """
A CHAPTER is its name or any beginning that only one has: 06-worker-pool, 06-w, 06.
Exit status: 0 all is well; 1 an error was found, or a carry met a conflict; 2 the command or the tree is unusable.

examples:
  tests/ladder.py check              are all chapters in step with their parents and notes?
  tests/ladder.py carry 03           a bug was mended in 03: mend its descendants too
  tests/ladder.py diff 06            what 06 adds to 05
  tests/ladder.py snippets --write   bring the code in the notes up to date
""",
    "check": f"""
A symbol that a chapter shares with its parent is the same to the letter, its comment included, unless the chapter's
note lists it under "## What changes" (how: see ladder.py --help). The list is complete, and nothing idle stands in it.
Symbols keep their order. At most {MOST_CHANGED} lines are added or changed, or as many as LIMITS in this file says; a file has at most {LONGEST_FILE} lines, main.cpp {LONGEST_MAIN}. No chapter includes another. A listed symbol is
free to differ, so mend those with carry.

examples:
  tests/ladder.py check
  tests/ladder.py check 02 03
""",
    "carry": """
Takes what was edited in the chapter's files between --base and the work tree, makes the same change to each child, then
what changed there to the child's children, by git merge-file. A branch stops at its first chapter with a conflict: the
markers are left in its file and its descendants are left alone; other branches go on. Mend the file, then carry THAT
chapter. Commit between two edits of the same lines, or the second will meet the first as a conflict.

examples:
  tests/ladder.py carry 03 --dry-run       say what would happen
  tests/ladder.py carry 03
  tests/ladder.py carry 03 --base HEAD~1   the edit is committed already
""",
    "diff": """
The code comes first, in the order in which to read it, the machine before what surrounds it; then what the files say of
themselves, and their #includes.

examples:
  tests/ladder.py diff 06
  tests/ladder.py diff 12 --against 06
  tests/ladder.py diff 06 --color | less -R
""",
    "snippets": """
A code block in notes/ or README.md that opens with an address holds that symbol's source, its comment included:
    ```cpp chapters/06-worker-pool/thread.cpp::dispatch_conn_new
    ```cpp chapters/06-worker-pool/thread.cpp::cq_push + cq_pop
    ```cpp common/net/unique_fd.h::net::unique_fd
Of overloads, `name#2` is the second. A block without an address is a sketch, and left alone.

examples:
  tests/ladder.py snippets
  tests/ladder.py snippets --write notes/06-worker-pool.md
""",
    "list": None,
}


def red(args, text):
    """Returns the text in red, if colours are wanted."""
    return f"\033[31m{text}\033[0m" if args.color else text


def report(args, problems):
    """Prints a list of problems. Returns how many they are."""
    for problem in problems:
        print(f"  {red(args, 'error:')} {problem}")
    return len(problems)


def parse(argv):
    """Returns the parsed command line."""
    layout = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    top = argparse.ArgumentParser(description=__doc__, epilog=EPILOGS[""], **layout)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function, name, says):
        """Adds a command. Returns its parser."""
        parser = commands.add_parser(name, help=says, description=says, epilog=EPILOGS[name], **layout)
        parser.add_argument("--color", action="store_true", help="in colour, terminal or not")
        parser.set_defaults(function=function, color=sys.stdout.isatty())
        return parser

    parser = command(check, "check", "hold the chapters against their parents and their notes")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="only these (default: all)")
    parser = command(carry, "carry", "carry an edit of one chapter forward through all its descendants")
    parser.add_argument("chapter", metavar="CHAPTER")
    parser.add_argument("--base", default="HEAD", metavar="REV", help="the commit before the edit (default: HEAD)")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, and write nothing")
    parser = command(diff, "diff", "show a chapter's lesson: its difference from its parent")
    parser.add_argument("chapter", metavar="CHAPTER")
    parser.add_argument("--against", metavar="OTHER", help="another chapter in place of the parent")
    parser = command(snippets, "snippets", "hold the code blocks in the notes against the code")
    parser.add_argument("notes", nargs="*", metavar="NOTE", help="only these files, or chapters' notes (default: all)")
    parser.add_argument("--write", action="store_true", help="refresh what is stale")
    command(list_chapters, "list", "list the chapters: parent, lines, lines added or changed, idea")
    return top.parse_args(argv)


def bring_tools():
    """Installs what this tool runs, as the two run scripts do. Returns nothing."""
    setup = ROOT / "common" / "scripts" / "setup.sh"
    if setup.is_file() and not all(map(shutil.which, ("git", "ctags"))):
        words = ("compare chapters", "git", "universal-ctags")
        if subprocess.run(("bash", "-c", '. "$0"; require_packages "$@"', setup, *words)).returncode != 0:
            raise Unusable("cannot compare chapters without them")


def main(argv=None):
    """Returns the exit status of the command line `argv`."""
    args = parse(argv)
    try:
        bring_tools()
        return args.function(args)
    except Unusable as error:
        print(f"ladder.py: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
