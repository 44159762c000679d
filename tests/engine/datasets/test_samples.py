"""The sample sets that come with the program are whole: they open without a remark, and every prompt renders."""

from __future__ import annotations

import pytest

from llmlab.engine import datasets
from llmlab.engine.shots.compose import Composer
from llmlab.paths import resources

SAMPLES = sorted((resources() / "shots").glob("*.shots.yaml"))


def test_there_are_enough_of_them_and_each_is_explained() -> None:
    readme = (resources() / "shots" / "README.md").read_text("utf-8")
    assert 6 <= len(SAMPLES) <= 8
    assert all(f"`{path.name.removesuffix('.shots.yaml')}`" in readme for path in SAMPLES)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_opens_without_a_remark_and_renders(path) -> None:  # type: ignore[no-untyped-def]
    found = datasets.read(path)
    project = found.project
    assert project is not None
    assert found.notes == ()
    assert project.name
    assert project.note
    assert project.shots is not None
    assert len(project.examples) >= max(4, project.shots)
    composer = Composer(project.spec, "[MASK]")
    for item in (project.query, *project.test):
        assert composer.compose(project.examples, item).text
    if project.spec.labels:
        assert {one.output for one in (*project.examples, *project.test)} == set(project.spec.labels)
        assert not {one.fields for one in project.examples} & {one.fields for one in project.test}
