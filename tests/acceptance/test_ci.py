"""The workflow of `mainstay init --ci github`: its steps run as they are, in order, in a clean shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def clean_environ(folder: Path) -> dict[str, str]:
    """Return what a runner's shell has: the job's Python first on the path, and nothing of this process."""
    told = {"HOME": str(folder), "LANG": "C.UTF-8", "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "CI": "true"}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    return kept | told | {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin"}


def mainstay(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mainstay", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)


def workflow_of(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / ".github" / "workflows" / "mainstay.yml").read_text())


class Job:
    """Runs the steps of the workflow's one job as a runner does."""

    def __init__(self, repository: Path, home: Path) -> None:
        (self._job,) = workflow_of(repository)["jobs"].values()
        self._folder = repository / self._job["defaults"]["run"]["working-directory"]
        self._home = home
        self.steps = [step for step in self._job["steps"] if "run" in step]

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        (step,) = [step for step in self.steps if step["name"] == name]
        script = self._home / "step.sh"
        script.write_text(step["run"])
        # As documented for `shell: bash`.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        environ = clean_environ(self._home)
        return subprocess.run(
            command, cwd=self._folder, env=environ, capture_output=True, text=True, check=False, timeout=600
        )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with a project in a folder of it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    done = mainstay("init", "pumps", "--ci", "github", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_step_of_the_workflow_runs_as_it_is_in_a_clean_shell(repository: Path, tmp_path: Path) -> None:
    if not (BIN / "mainstay").exists():
        pytest.skip("mainstay is not installed beside this Python")
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    shutil.copytree(repository, checkout)
    home.mkdir()
    job = Job(checkout, home)
    assert [step["name"] for step in job.steps] == ["install", "check", "train", "gate", "package"]
    for step in job.steps:
        done = job.run(step["name"])
        assert done.returncode == 0, f"{step['name']}: {done.stdout}{done.stderr}"

    build = checkout / "pumps" / "build"
    suite = ElementTree.parse(build / "gate.xml").getroot()
    assert suite.attrib["failures"] == "0"
    assert int(suite.attrib["tests"]) == len(suite.findall("testsuite/testcase")) >= 8
    summary = (home / "summary.md").read_text()
    assert summary.startswith("## Gate of pump-check&#64;1: pass\n")
    assert (build / "gate.md").read_text().strip() == summary.strip()
    assert (build / "container" / "Dockerfile").read_text().splitlines()[0].startswith("# pump-check@1,")
    assert list((build / "container" / "wheels").glob("mainstay-*.whl"))
    status = subprocess.run(["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True, check=True)
    assert "build" not in status.stdout, "what the job writes is ignored by git"


@pytest.mark.slow
def test_a_refused_version_fails_the_step_gate_and_leaves_its_report(repository: Path, tmp_path: Path) -> None:
    file = repository / "pumps" / "mainstay.toml"
    file.write_text(re.sub(r"floors = .*", "floors = { accuracy = 0.999 }", file.read_text()))
    job = Job(repository, tmp_path)
    assert job.run("train").returncode == 0
    gate = job.run("gate")
    assert gate.returncode == 4, gate.stderr
    root = ElementTree.parse(repository / "pumps" / "build" / "gate.xml").getroot()
    (case,) = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert (case.attrib["name"], case.find("failure").attrib["type"]) == ("floors", "gate_failed")
    assert "| floors |" in (tmp_path / "summary.md").read_text()
    assert "**fail**" in (tmp_path / "summary.md").read_text()
    package = job.run("package")
    assert package.returncode == 4
    assert "the gate did not pass pump-check@1" in package.stderr
    assert not (repository / "pumps" / "build" / "container").exists()


def test_the_workflow_is_plain_pinned_and_may_write_nothing(repository: Path) -> None:
    text = (repository / ".github" / "workflows" / "mainstay.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch"}  # `on` is a truth value in YAML 1.1
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] <= 60
    assert job["defaults"]["run"] == {"shell": "bash", "working-directory": "pumps"}
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert [name for name in uses if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name)] == []
    (python,) = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python")]
    assert python["cache"] == "pip"
    assert python["python-version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert "${{ github.event" not in text, "no text of strangers reaches a shell"
    assert not re.search(r"[A-Z]+_[A-Z]+", text.replace("GITHUB", "")), "every word of the template was filled in"


def test_an_existing_project_gets_the_workflow_alone_and_a_second_one_is_refused(repository: Path) -> None:
    (repository / ".github" / "workflows" / "mainstay.yml").unlink()
    before = {path: path.read_bytes() for path in (repository / "pumps").rglob("*") if path.is_file()}
    done = mainstay("init", ".", "--ci", "github", cwd=repository / "pumps")
    assert done.returncode == 0, done.stderr
    assert "is there already: only the workflow was written." in done.stdout
    assert {path: path.read_bytes() for path in (repository / "pumps").rglob("*") if path.is_file()} == before
    assert workflow_of(repository)["name"] == "mainstay"

    again = mainstay("init", ".", "--ci", "github", cwd=repository / "pumps")
    assert again.returncode == 2
    assert "mainstay.yml is there already; nothing was written" in again.stderr


def test_a_workflow_in_the_way_keeps_the_project_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "new" / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / "new" / ".github" / "workflows" / "mainstay.yml").write_text("name: mine\n")
    done = mainstay("init", "new", "--ci", "github", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "new" / "mainstay.toml").exists()


def lines_of(server: str, repository: Path) -> list[str]:
    """Return what a server runs in its shell, in order, from the top of the repository."""
    if server == "gitlab":
        job = yaml.safe_load((repository / ".gitlab-ci.yml").read_text())["mainstay"]
        assert job["image"] == f"python:{sys.version_info.major}.{sys.version_info.minor}"
        assert job["artifacts"]["reports"] == {"junit": "my pumps/build/gate.xml"}
        return list(job["script"])
    text = (repository / "Jenkinsfile").read_text()
    assert text.count("{") == text.count("}")
    assert set(re.findall(r"dir\((.*?)\)", text)) == {"'my pumps'"}
    return ["cd 'my pumps'", *re.findall(r"sh '(.*)'", text)]


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gitlab", "jenkins"])
def test_every_line_for_other_servers_runs_as_it_is_in_a_clean_shell(server: str, tmp_path: Path) -> None:
    if not (BIN / "mainstay").exists():
        pytest.skip("mainstay is not installed beside this Python")
    repository, home = tmp_path / "repository", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    done = mainstay("init", "my pumps", "--ci", server, cwd=repository)
    assert done.returncode == 0, done.stderr
    lines = lines_of(server, repository)
    assert [line.split()[1] for line in lines if line.startswith("mainstay")] == ["check", "train", "gate", "package"]
    script = home / "all.sh"
    script.write_text("\n".join(lines))
    # As both run them: one shell that ends at the first line that fails.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    ran = subprocess.run(
        command, cwd=repository, env=clean_environ(home), capture_output=True, text=True, check=False, timeout=600
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
    build = repository / "my pumps" / "build"
    assert ElementTree.parse(build / "gate.xml").getroot().attrib["failures"] == "0"
    assert (build / "container" / "Dockerfile").is_file()
    text = "".join(
        path.read_text() for path in (repository / ".gitlab-ci.yml", repository / "Jenkinsfile") if path.exists()
    )
    assert not re.search(r"(MAINSTAY|PYTHON|WORKING|ARTIFACTS)[_/]", text), "every word of the template was filled in"
    again = mainstay("init", ".", "--ci", server, cwd=repository / "my pumps")
    assert again.returncode == 2
    assert "is there already; nothing was written" in again.stderr
