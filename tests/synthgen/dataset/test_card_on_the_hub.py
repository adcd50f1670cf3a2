"""The card as huggingface_hub reads it; its own `validate` asks the Hub, which tests do not."""

import re

import pytest
from huggingface_hub import DatasetCard, DatasetCardData
from tiny_dataset import make_dataset

# As huggingface_hub's documentation of `DatasetCardData` and the Hub's pages of tasks list them.
ANNOTATORS = {
    "found",
    "crowdsourced",
    "expert-generated",
    "machine-generated",
    "no-annotation",
    "other",
}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"}
TASK_IDS = {"multi-class-image-classification", "multi-label-image-classification"}


@pytest.fixture
def card(tmp_path):
    make_dataset(str(tmp_path / "out"))
    return DatasetCard.load(tmp_path / "out" / "README.md", ignore_metadata_errors=False)


def test_the_hubs_own_classes_read_the_card(card):
    data = card.data
    assert isinstance(data, DatasetCardData)
    assert data.pretty_name == "tiny"
    assert data.license == "apache-2.0"
    assert data.task_categories == ["image-classification"]
    assert set(data.task_ids) <= TASK_IDS
    assert set(data.annotations_creators) <= ANNOTATORS
    assert set(data.source_datasets) <= {"original", "extended"}
    assert set(data.size_categories) <= SIZES
    assert [config["config_name"] for config in data.configs] == ["default", "rejects"]
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in data.tags)


def test_the_card_survives_its_way_through_the_hubs_classes(card, tmp_path):
    card.save(tmp_path / "again.md")
    again = DatasetCard.load(tmp_path / "again.md", ignore_metadata_errors=False)
    assert again.data.to_dict() == card.data.to_dict()
    assert again.text == card.text
    rebuilt = DatasetCardData(**card.data.to_dict())
    assert rebuilt.to_dict() == card.data.to_dict()


def test_each_link_to_a_file_leads_to_one(card, tmp_path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", card.text)
    assert links
    for link in links:
        assert (tmp_path / "out" / link).is_file()
