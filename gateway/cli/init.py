"""`portreeve init`: writes the sample deployment into a folder, ready to run."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Annotated

import typer

import gateway
from gateway.cli.output import shown_path
from gateway.config.load import FILE, load
from gateway.errors import Problem, Problems

PARTS = (FILE, "tools", "policies", "identities")
_IGNORED = "# Made by the gateway or secret: never committed.\n/var/\n"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into; made when it does not exist.")],
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty; files of the same names are replaced.")] = False,
) -> None:
    """Write a small working deployment into a folder.

    It holds settings, a contract, policies with cases, and identities; it is the one that `portreeve demo` plays.

    Example: portreeve init my-gateway && cd my-gateway && portreeve check
    """
    keys = write_sample(folder, force=force)
    where = shown_path(str(folder.absolute()))
    print(f"Wrote a working deployment to {where}: {', '.join(PARTS)}")
    for key in keys:
        print(f"Made a random example key: {shown_path(str(key))} (only you can read it; put the tool's own key there)")
    print(
        f"""
Next:
  cd {where}
  portreeve check                     # everything in order?
  portreeve serve                     # runs until Ctrl-C; edits go live by themselves

In another terminal, in the same folder:
  curl -i -H "Authorization: Bearer $(portreeve token support-bot)" http://127.0.0.1:8080/tools/tickets/tickets
  portreeve log tail

The tools in gateway.toml are examples on this machine, so calls end in 502 until you point their `url` at your own services.
To see everything at work first: portreeve demo"""
    )


def write_sample(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy the sample into `folder` and make each `file:` secret it refers to. Returns the secrets made. Raises Problems, OSError."""
    if folder.exists() and not folder.is_dir():
        raise Problems([Problem("not_a_folder", "is a file", file=str(folder), remedy="name a folder")])
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise Problems(
            [Problem("folder_not_empty", "is not empty", file=str(folder), remedy="name a new folder, or add --force to write into this one")]
        )
    sample = sample_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = sample / part
        if source.is_dir():
            shutil.copytree(
                source, folder / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__"), copy_function=shutil.copyfile
            )
        else:
            shutil.copyfile(source, folder / part)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text(_IGNORED)
    settings = load(folder)
    return [made for credential in settings.credentials.values() if (made := _example_secret(settings.folder, credential.secret or ""))]


def sample_folder() -> Path:
    """The sample deployment: within an installed package, or beside it in a checkout."""
    package = Path(gateway.__file__).parent
    for folder in (package / "sample", package.parent):
        if all((folder / part).exists() for part in PARTS):
            return folder
    raise Problems([Problem("no_sample", "the sample deployment is not part of this installation", remedy="install portreeve again")])


def _example_secret(folder: Path, reference: str) -> Path | None:
    """Write a random key where a `file:` reference points, unless something is there already."""
    scheme, _, rest = reference.partition(":")
    path = folder / rest
    if scheme != "file" or path.exists():
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(f"example-{secrets.token_urlsafe(24)}\n")
    return path
