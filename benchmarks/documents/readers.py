"""Which library reads which document format best: words, numbers, headings, lists and tables of small files.

    python -m benchmarks.documents.readers --python PATH
    python -m benchmarks.documents.readers --readers softgraft
    python -m benchmarks.documents.readers --report
    python -m benchmarks.documents.readers --show "docx/tracked deletion"

The files are written by this package, and what each shows was written by hand. The readers of other projects are
measured in the environment of another interpreter, `--python`, if they are installed there; ours always in this one.
A run replaces the rows of the readers that it measures and keeps the others, as long as the cases are the same. The
second command measures our readers alone; `--report` prints the results file, with `--markdown` as a page.

An environment with the other readers:

    pip install "markitdown[docx,pdf,pptx,xlsx]" kreuzberg pypandoc_binary mammoth python-docx trafilatura
    pip install "lxml[html-clean]" html2text markdownify pdfplumber pdfminer.six docling-parse pypdf pymupdf
    pip install pymupdf4llm openpyxl python-pptx EbookLib odfpy
"""

from __future__ import annotations

import sys

from benchmarks import script
from benchmarks.documents.reader_list import OURS, READERS

# Ours alone are imported by this process's interpreter.
PACKAGES = ("pypdfium2", "python-docx", "selectolax")


def main() -> None:
    """Measure, print and write."""
    parser = script.make_parser(__doc__)
    names = [reader.name for reader in READERS]
    parser.add_argument("--readers", type=script.names_of(names), default=names, metavar="NAMES")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the other readers (default: this one)")
    parser.add_argument(
        "--repeats", type=script.positive, default=3, help="the best time counts (default: %(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="forget earlier results, also of other readers")
    parser.add_argument("--report", action="store_true", help="print the results file, and measure nothing")
    parser.add_argument("--markdown", action="store_true", help="with --report: tables in Markdown")
    parser.add_argument("--show", metavar="CASE", help="print what each reader scored on a case of the results file")
    options = parser.parse_args()
    from benchmarks.documents.cases import all_cases
    from benchmarks.documents.measuring import digest, measure
    from benchmarks.documents.report import print_case, print_markdown, print_readers

    cases = all_cases()
    head = script.results_head({"cases": len(cases), "digest": digest(cases)}, PACKAGES)
    path = script.results_path(options.out, "readers", head["hardware"])
    rows = script.read_results(path)["readers"] if path.is_file() and not options.fresh else {}
    if options.show:
        print_case(options.show, rows)
        return
    if options.report:
        (print_markdown if options.markdown else print_readers)(rows)
        return
    if rows:
        script.require_same(path, script.read_results(path)["config"], head["config"])
    for reader in READERS:
        if reader.name not in options.readers:
            continue
        python = sys.executable if reader.name == OURS else options.python
        row = measure(reader, cases, python, options.repeats)
        print(f"{reader.name}: {'not installed' if row is None else len(row['cases'])}", flush=True)
        if row is not None:
            rows[reader.name] = row
            ordered = {one.name: rows[one.name] for one in READERS if one.name in rows}
            script.write_results(path, {"benchmark": "readers", **head, "readers": ordered})
    print_readers(rows)


if __name__ == "__main__":
    main()
