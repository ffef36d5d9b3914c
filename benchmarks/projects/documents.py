"""Fetch the documents that the questions of `benchmarks/projects/questions` are about.

    python -m benchmarks.projects.documents --data DIR

Git fetches each project at the commit in `projects.json` and writes its documents to DIR/projects/NAME. They keep their
own licences and are not part of this repository. Projects that are there already are left as they are.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from benchmarks import script


def main() -> None:
    """Fetch what is missing."""
    parser = script.make_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder; documents go to DIR/projects")
    options = parser.parse_args()
    from benchmarks.projects.questions import read_projects

    for project in read_projects():
        folder = options.data / "projects" / project.name
        if folder.is_dir():
            print(f"{project.name}: already in {folder}")
            continue
        fetch(project.repository, project.commit, project.files, folder)
        print(f"{project.name}: {len(project.files)} documents ({project.licence}), {project.repository}", flush=True)


def fetch(repository: str, commit: str, files: tuple[str, ...], folder: Path) -> None:
    """Write the files of one commit into a new folder, which appears only when it is complete.

    Raises:
        SystemExit: if Git fails; its message is shown above.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        bare, fetched = Path(scratch) / "git", Path(scratch) / "files"
        try:
            subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
            git = ["git", "-C", str(bare)]
            # Without blobs: they come one by one for the documents, and not for everything else in the repository.
            subprocess.run(
                [*git, "fetch", "--quiet", "--depth", "1", "--filter=blob:none", repository, commit], check=True
            )
            subprocess.run([*git, "config", "remote.origin.url", repository], check=True)
            subprocess.run([*git, "config", "remote.origin.promisor", "true"], check=True)
            archive = subprocess.run([*git, "archive", commit, "--", *files], check=True, stdout=subprocess.PIPE)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            raise SystemExit(f"{repository} at {commit[:12]}: {error}. Next: see Git's message above") from error
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(fetched, filter="data")
        fetched.rename(folder)


if __name__ == "__main__":
    main()
