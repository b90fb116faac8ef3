"""JSON that describes no space, or one too large, for the tests of what reads it."""

short = "{!s:.40}".format
BOX_JSON = {"kind": "Box", "shape": [2], "dtype": "float32", "low": "-1.0", "high": "1.0"}
BAD_SPACES = [
    *(
        5,
        None,
        "Dict",
        [BOX_JSON],
        {},
        {"spaces": {}},
        {"kind": ["Dict"], "spaces": {}},
        {"kind": "Text", "shape": [5]},
    ),
    *({"kind": "Dict", "spaces": bad} for bad in ({}, [BOX_JSON], 5, {"a": 5}, {"a": {"kind": "Evil"}}, {"a": None})),
    *({"kind": "Tuple", "spaces": bad} for bad in ([], {"a": BOX_JSON}, "ab", [BOX_JSON, 5], 7)),
    *({"kind": "MultiDiscrete", "nvec": n, "start": s} for n, s in (([], []), ([0], [0]), ([2], [0, 0]), ([2.5], [0]))),
    *({"kind": "MultiDiscrete", "nvec": n, "start": [0]} for n in ("2", [-1], [[2], [2, 3]], [10**30], {"a": 2})),
    *({"kind": "MultiBinary", "shape": bad} for bad in ("3", [-1], [0], [0, 2], None, {})),
    *({**BOX_JSON, **bad} for bad in ({"low": "x"}, {"low": [1]}, {"low": ["1"] * 3}, {"dtype": "O"}, {"shape": "a"})),
    *({**BOX_JSON, **bad} for bad in ({"dtype": "evil"}, {"low": ...}, {"shape": [-2]}, {"shape": [10**30]})),
    *({"kind": "Discrete", "shape": [n], "start": s} for n, s in ((0, 0), (2, "0"), ("2", 0), (2, 10**30), (2.5, 0))),
]
HUGE = [{"kind": "MultiBinary", "shape": 10**30}, {"kind": "MultiBinary", "shape": [2**13, 2**14]}]
HUGE += [{**BOX_JSON, "shape": [2**27]}, {"kind": "Discrete", "shape": [2**27], "start": 0}]
HUGE += [{"kind": "MultiDiscrete", "nvec": [2**62] * 4, "start": [0] * 4}]  # an int64 sum is 0
HUGE += [{"kind": "Tuple", "spaces": [{"kind": "Dict", "spaces": {"a": {**BOX_JSON, "shape": [2**22]}}}] * 17}]
HUGE += [{"kind": "Tuple", "spaces": [HUGE[3], {"kind": "Discrete", "shape": [-(2**27)], "start": 0}]}]
BAD_SPACES += [*HUGE, {"kind": "Discrete", "shape": [3], "start": 0, "dtype": "float32"}]
BAD_SPACES = [{k: v for k, v in s.items() if v is not ...} if isinstance(s, dict) else s for s in BAD_SPACES]
