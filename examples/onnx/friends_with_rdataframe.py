"""Scores of an exported model as a friend tree, with ROOT's RDataFrame and onnxruntime.

    python friends_with_rdataframe.py MODEL.onnx EVENTS.root TREE FRIENDS.root

The branches (or columns that you define before) have the names of the model's inputs: its features, and the numbers
that identify an event. The friend has the event's score by the trainings that did not see it, and the average of all.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
import ROOT

OUTPUTS = ["score", "average_score", "fold"]


def main(model: str, events: str, tree: str, friends: str) -> None:
    """Score the events of a tree and write the friends."""
    session = onnxruntime.InferenceSession(model)
    about = session.get_modelmeta().custom_metadata_map
    features, key = json.loads(about["features"]), json.loads(about["key"])
    columns = ROOT.RDataFrame(tree, events).AsNumpy([*features, *key])
    inputs = {name: columns[name].astype(np.float32) for name in features}
    inputs |= {name: columns[name].astype(np.int64) for name in key}
    scores = dict(zip(OUTPUTS, session.run(OUTPUTS, inputs), strict=True))
    ROOT.RDF.FromNumpy({**{name: inputs[name] for name in key}, **scores}).Snapshot("hepda", friends)


if __name__ == "__main__":
    main(*sys.argv[1:])
