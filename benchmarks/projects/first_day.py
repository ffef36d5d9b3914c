"""What a new domain answers before anybody has written a question: right, wrong or refused.

    python -m benchmarks.projects.first_day --data DIR
    python -m benchmarks.projects.first_day --data DIR --split train

Each project is a domain as `softgraft new` makes it, without training questions. Its questions are asked as a user asks
them. A quote is right if it contains one of the expected short answers. The baseline is the evidence sentence that is
nearest to the question by cosine, without a refusal; `evidence` is the share of answerable questions whose evidence
contains the answer, which no quote can exceed. `python -m benchmarks.projects.documents` fetches the documents.
"""

from __future__ import annotations

import os

from benchmarks import script

PACKAGES = ("torch", "sentence-transformers", "faiss-cpu")


def main() -> None:
    """Measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="projects/", work="projects")
    parser.add_argument("--split", choices=("train", "test"), default="test", help="projects (default: %(default)s)")
    options = parser.parse_args()
    from benchmarks.projects.first_answers import answer_project, print_answers
    from benchmarks.projects.questions import read_projects

    rows = {}
    for project in read_projects(options.split):
        rows[project.name] = script.in_own_process(answer_project, project, options.data, options.work)
        print(f"{project.name}: {rows[project.name]['questions']} questions", flush=True)
    head = script.results_head({"split": options.split}, PACKAGES)
    path = script.results_path(options.out, f"first_day-{options.split}", head["hardware"])
    script.write_results(path, {**head, "projects": rows})
    print_answers(rows)


if __name__ == "__main__":
    main()
