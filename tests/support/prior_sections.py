"""Sections `expressions` of every composed prior, for tests over all of them."""

RULES = [
    {"if": "AU26", "then": "AU25", "at_least": 1},
    {"exclude": ["AU12", "AU15"]},
    {"at_most": 3},
    {"cap": "AU9", "at": 3, "penalty": 0.7},
]
INDEPENDENT = {
    "prior": "independent",
    "aus": {
        "AU9": {"rate": 0.3},
        "AU12": {"rate": 0.5},
        "AU15": {"rate": 0.3},
        "AU25": {"rate": 0.5},
        "AU26": {"rate": 0.3},
    },
}
COMMON = {
    "prior": "emotions",
    "categories": ["neutral", "happy", "sad"],
    "profile": "common",
    "intensity": {"low": 1, "high": 5},
}
BLENDS = {
    "prior": "emotions",
    "categories": {"happy": 2.0, "sad": 1.0},
    "blends": [{"of": ["happy", "surprised"], "share": 0.25, "weight": 2.0}],
}
COMBINATIONS = {
    "prior": "combinations",
    "combinations": [
        {"aus": {"AU6": 3, "AU12": [2, 5]}, "weight": 2, "name": "smile"},
        {"aus": {"AU4": 1.5}},
        {"aus": {}},
    ],
}
GRID = {"prior": "grid", "aus": ["AU1", "AU12"], "levels": [1, 3, 5], "combinations": 4}
UNIFORM = {"prior": "uniform", "active": {1: 0.5, 2: 0.3, 3: 0.2}}
TOTAL = {"prior": "uniform", "active": {2: 1.0, 3: 1.0}, "total": {"low": 2, "high": 5}}
RULED = {**INDEPENDENT, "rules": RULES}
SOBOL = {**INDEPENDENT, "sampling": "sobol"}
SOBOL_BLENDS = {**BLENDS, "sampling": "sobol"}
MIXTURE = {
    "prior": "mixture",
    "of": [
        {"weight": 2, **BLENDS},
        {"weight": 1, **RULED},
        {"weight": 1, **UNIFORM, "sampling": "sobol"},
    ],
}
RULED_MIXTURE = {**MIXTURE, "rules": [{"at_most": 6}, {"if": "AU2", "then": "AU1"}]}

SECTIONS = {
    "common": COMMON,
    "blends": BLENDS,
    "combinations": COMBINATIONS,
    "grid": GRID,
    "uniform": UNIFORM,
    "total": TOTAL,
    "ruled": RULED,
    "sobol": SOBOL,
    "sobol blends": SOBOL_BLENDS,
    "mixture": MIXTURE,
    "ruled mixture": RULED_MIXTURE,
}
