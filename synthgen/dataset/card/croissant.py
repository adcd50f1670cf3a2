"""`croissant.json`: a dataset for programs, as MLCommons' Croissant 1.1 says it.

Its files with sizes and checksums, its columns with types, its splits, and, in the words of the
card, how the data came about and what it cannot tell (Croissant RAI 1.0).
https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from synthgen.dataset import layout
from synthgen.dataset.card.header import HUB_LICENCES, KEYWORDS
from synthgen.dataset.card.limits import MISUSES, USES, biases, limits
from synthgen.dataset.card.origin import bibtex, check_names
from synthgen.dataset.markers import FileStamp, ShardMarker
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import (
    AUS_MEASURED,
    REFERENCE_ID,
    SPLIT,
    DatasetSchema,
    Feature,
    data_features,
    reject_features,
)
from synthgen.dataset.statistics import Statistics
from synthgen.dataset.storage import Storage
from synthgen.errors import MissingFileError

_PARQUET = "application/x-parquet"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification recommends (its appendix 1)."""

_TYPES = {
    "string": "sc:Text",
    "large_string": "sc:Text",
    "bool": "sc:Boolean",
    "int8": "cr:Int8",
    "int16": "cr:Int16",
    "int32": "cr:Int32",
    "int64": "cr:Int64",
    "uint8": "cr:UInt8",
    "uint16": "cr:UInt16",
    "uint32": "cr:UInt32",
    "uint64": "cr:UInt64",
    "float16": "cr:Float16",
    "float32": "cr:Float32",
    "float64": "cr:Float64",
}
"""Types of values that Croissant has a word for; columns of others are not described."""

_SAYS = {
    "sample_id": "Name of the sample.",
    SPLIT: "Split of the sample.",
    "image": "The image, encoded.",
    "aus": "Intensities asked for [0, 5], one for each of",
    AUS_MEASURED: "Intensities measured [0, 5], without values where no face was found; one of",
    "accepted": "Whether all checks passed; no value where none has looked.",
    "emotion": "Number of the category asked for; `emotion_name` has its name.",
    "identity_id": "Who was asked for: a person is in one split only.",
    "valence": "Place of the category asked for, by its intensity [−1, 1]; a map, no measurement.",
    "arousal": "Place of the category asked for, by its intensity [−1, 1]; a map, no measurement.",
    "reason": "Why the attempt was not kept.",
}


def render_croissant(
    record: RunRecord, statistics: Statistics, markers: Iterable[ShardMarker]
) -> bytes:
    """Write the metadata as JSON-LD; equal arguments give equal bytes.

    What only a publisher knows (`creator`, the URL on the Web) is left to the publisher.

    Args:
        record: the run.
        statistics: what is committed.
        markers: the finished shards.
    """
    splits = list(statistics.rows)
    name = str(record.configuration.get("name", "synthgen dataset"))
    values = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": name,
        "description": _description(record, statistics),
        "keywords": KEYWORDS,
        "license": _licences(record.licences),
        "url": ".",
        "version": f"1.0.0+{statistics.checksum}" if statistics.checksum else "1.0.0",
        **(
            {"dateCreated": record.created, "datePublished": record.created}
            if record.created
            else {}
        ),
        "citeAs": bibtex(record),
        **_responsible(record, statistics),
        "distribution": [
            *(_file(*file) for file in stamped_files(markers).items()),
            _file_set(layout.DATA, splits, statistics.last_shards),
            _file_set(layout.REJECTS, splits, statistics.last_shards),
        ],
        "recordSet": [
            _splits(splits),
            *_labels(record.schema.categories),
            _records(
                "default",
                layout.DATA,
                "Samples: images with labels and measurements.",
                data_features(record.schema),
                record.schema,
            ),
            _records(
                "rejects",
                layout.REJECTS,
                "Attempts that were not kept, with reasons, no images.",
                reject_features(record.schema),
                record.schema,
            ),
        ],
    }
    return layout.to_json(values)


def stamped_files(markers: Iterable[ShardMarker]) -> dict[str, FileStamp]:
    """Return the files of all shards with their stamps, in the order of their names."""
    files = {name: stamp for marker in markers for name, stamp in marker.files.items()}
    return dict(sorted(files.items()))


def croissant_problems(storage: Storage, markers: Iterable[ShardMarker]) -> list[str]:
    """Compare the files that `croissant.json` lists with those of the markers.

    Returns:
        One sentence for each that is missing, not listed, or listed with another checksum or size.

    Raises:
        DatasetError: if the store fails.
    """
    try:
        values = layout.from_json(storage.read(layout.CROISSANT))
        listed = {
            str(file["contentUrl"]): (file["sha256"], file["contentSize"])
            for file in values["distribution"]
            if file["@type"] == "cr:FileObject"
        }
    except MissingFileError:
        return [f"{layout.CROISSANT} is missing"]
    except layout.NOT_WHOLE as error:
        return [f"{layout.CROISSANT} is corrupt ({layout.cause(error)})"]
    there = {
        name: (stamp.sha256, f"{stamp.bytes} B") for name, stamp in stamped_files(markers).items()
    }
    return [
        f"{layout.CROISSANT} {_difference(name, listed.get(name), there.get(name))}"
        for name in sorted({*listed, *there})
        if listed.get(name) != there.get(name)
    ]


def _difference(name: str, listed: object, there: object) -> str:
    if listed is None:
        return f"does not list {name}"
    if there is None:
        return f"lists {name}, which no marker knows"
    return f"lists {name} with another checksum or size than its marker"


def _description(record: RunRecord, statistics: Statistics) -> str:
    pipeline = record.configuration.get("pipeline", {}).get("name")
    made = f"made by the pipeline {pipeline}" if pipeline else "merged from datasets of synthgen"
    return (
        f"{statistics.total} synthetic faces with the {len(record.schema.aus)} FACS Action Units "
        f"({', '.join(record.schema.aus)}) that they were asked to show, {made} of synthgen "
        f"{record.synthgen_version}. The card is in {layout.CARD}."
    )


def _licences(licences: Mapping[str, str]) -> list[str | dict[str, str]]:
    """Return the licences of all weights: SPDX's URL of those that have one, else their names."""
    found: dict[str, str | dict[str, str]] = {}
    for of, licence in sorted(licences.items()):
        if spdx := HUB_LICENCES.get(licence.lower()):
            found.setdefault(spdx, f"https://spdx.org/licenses/{spdx}.html")
        else:
            found.setdefault(licence, {"@type": "sc:CreativeWork", "name": f"{licence} ({of})"})
    return list(found.values())


def _responsible(record: RunRecord, statistics: Statistics) -> dict[str, Any]:
    """Return what Croissant RAI asks for, as far as record and counts tell it."""
    checks = [name for name in check_names(record.configuration) if name != "none"]
    weights = record.identity.get("weights", {})
    people = (
        "No real people are shown, so far as the weights allow; the people asked for are made up."
    )
    if record.schema.has(REFERENCE_ID):
        people = "Images were made by editing pictures of people, who may be real."
    slots = record.schema.slots
    return {
        "rai:dataCollection": (
            f"Generated: {statistics.attempts} images were made, {statistics.accepted} of which "
            f"kept the policy of the configuration in {layout.RUN}, with which the data can be "
            "made again."
        ),
        "rai:dataCollectionType": ["Others"],
        "rai:dataCollectionMissingData": (
            f"{len(statistics.missing)} samples have no row, since no attempt was kept."
        ),
        "rai:dataAnnotationProtocol": [
            "Categories and Action Units are those that were asked for; no person annotated images."
        ],
        "rai:annotationsPerItem": "one request"
        + (", one measurement by each check" if checks else ""),
        **(
            {
                "rai:machineAnnotationTools": [
                    f"the check {name} of synthgen {record.synthgen_version}" for name in checks
                ]
                + [f"weights {name} (sha256 {sha})" for name, sha in sorted(weights.items())]
            }
            if checks
            else {}
        ),
        "rai:dataUseCases": [*USES, *(f"Not: {use}" for use in MISUSES)],
        "rai:dataLimitations": limits(record, statistics),
        "rai:dataBiases": biases(statistics)
        or ["None was found in the counts on the card; few rows tell little."],
        "rai:personalSensitiveInformation": [
            people,
            *([f"Words of prompts that name traits: {', '.join(slots)}."] if slots else []),
        ],
        "rai:dataReleaseMaintenancePlan": (
            "A run can be extended by the same configuration with more samples; its rows stay. "
            "`version` ends with a checksum of the data."
        ),
    }


def _file(name: str, stamp: FileStamp) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name.rpartition("/")[2],
        "contentUrl": name,
        "contentSize": f"{stamp.bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": stamp.sha256,
    }


def _file_set(folder: str, splits: Sequence[str], last_shards: Mapping[str, int]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{folder}-files",
        "name": f"{folder}-files",
        "description": f"The shards in {folder}/, by their splits.",
        "encodingFormat": _PARQUET,
        "includes": [
            pattern
            for split in splits
            for pattern in layout.patterns(folder, split, last_shards.get(split, 0))
        ],
    }


def _splits(splits: Sequence[str]) -> dict[str, Any]:
    """Return the splits as an enumeration, those that Croissant knows with their meaning."""
    known = {
        "train": "cr:TrainingSplit",
        "validation": "cr:ValidationSplit",
        "test": "cr:TestSplit",
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "dataType": ["sc:URL", "wd:Q3985153"]},
        ],
        "data": [
            {"splits/name": split, "splits/url": known.get(split, "cr:Split")} for split in splits
        ],
    }


def _labels(categories: Sequence[str]) -> list[dict[str, Any]]:
    """Return the labels of `emotion` as an enumeration; none where there are no categories."""
    if not categories:
        return []
    return [
        {
            "@type": "cr:RecordSet",
            "@id": "emotions",
            "name": "emotions",
            "dataType": "sc:Enumeration",
            "key": {"@id": "emotions/emotion"},
            "field": [
                {"@type": "cr:Field", "@id": "emotions/emotion", "dataType": "cr:Int64"},
                {"@type": "cr:Field", "@id": "emotions/name", "dataType": "sc:Text"},
            ],
            "data": [
                {"emotions/emotion": number, "emotions/name": name}
                for number, name in enumerate(categories)
            ],
        }
    ]


def _records(
    name: str, folder: str, says: str, features: Mapping[str, Feature], schema: DatasetSchema
) -> dict[str, Any]:
    texts = {column.name: column.description for column in schema.columns if column.description}
    for column in ("aus", AUS_MEASURED):
        texts[column] = f"{_SAYS[column]} {', '.join(schema.aus)}."
    fields = [
        field
        for column, feature in features.items()
        for field in _fields(
            f"{name}/{column}", folder, column, feature, texts.get(column) or _SAYS.get(column)
        )
    ]
    if SPLIT not in features:  # datasets of the first version name it in their files alone
        fields.append(_split_of_file(name, folder))
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": says,
        "field": fields,
    }


def _split_of_file(name: str, folder: str) -> dict[str, Any]:
    pattern = rf"{re.escape(folder)}/(\w+)-\d+\.parquet"
    return {
        "@type": "cr:Field",
        "@id": f"{name}/{SPLIT}",
        "name": SPLIT,
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": f"{folder}-files"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": pattern},
        },
    }


def _fields(
    identifier: str, folder: str, column: str, feature: Feature, said: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the field of a column; nothing where Croissant has no type for it."""
    source: dict[str, Any] = {"fileSet": {"@id": f"{folder}-files"}, "extract": {"column": column}}
    field: dict[str, Any] = {"@type": "cr:Field", "@id": identifier, "name": column}
    if said:
        field["description"] = said
    if column == SPLIT:
        field["references"] = {"field": {"@id": "splits/name"}}
    match feature.get("_type"):
        case "Value" if feature["dtype"] in _TYPES:
            yield {**field, "dataType": _TYPES[feature["dtype"]], "source": source}
        case "ClassLabel":
            yield {**field, "dataType": "cr:Int64", "source": source}
        case "Image":
            picture = {**source, "transform": {"jsonPath": "bytes"}}
            yield {**field, "dataType": "sc:ImageObject", "source": picture}
        case "List" if feature["feature"]["dtype"] in _TYPES:
            shape = {"isArray": True, "arrayShape": str(feature.get("length", -1))}
            yield {
                **field,
                "dataType": _TYPES[feature["feature"]["dtype"]],
                **shape,
                "source": source,
            }
        case None:
            parts = [
                {
                    "@type": "cr:Field",
                    "@id": f"{identifier}/{part}",
                    "name": part,
                    "dataType": "sc:Text",
                    "source": {**source, "transform": {"jsonPath": part}},
                }
                for part in feature
            ]
            yield {**field, "subField": parts}
