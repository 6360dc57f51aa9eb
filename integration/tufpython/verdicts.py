"""Says what python-tuf makes of each vector in a folder: {"valid/timestamp": "valid", ...}.

The folder has a root.json, by whose roles the vectors are verified, and folders of vectors, whose
names begin with their role.
"""
import json
import pathlib
import sys

from tuf.api.metadata import Metadata

folder = pathlib.Path(sys.argv[1])
root = Metadata.from_bytes((folder / "root.json").read_bytes())


def verdict(role, data):
    try:
        document = Metadata.from_bytes(data)
        if document.signed.type != role:
            return "rejected"
    except Exception:  # it is not read, for any reason
        return "rejected"
    try:
        root.verify_delegate(role, document)
        if role == "root":
            document.verify_delegate(role, document)
    except Exception:
        return "unverified"
    return "valid"


print(json.dumps({
    f"{path.parent.name}/{path.stem}": verdict(path.stem.split("-")[0], path.read_bytes())
    for path in sorted(folder.glob("*/*.json"))
}))
