"""Writes the vectors, and the root.json that they are verified by, into the folder of this script.

Keys are made from their names, so that a vector can be added without changing the others (but for
ECDSA, whose signatures are random). Needs the package cryptography.
"""
import hashlib
import json
import pathlib
import shutil

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

HERE = pathlib.Path(__file__).parent


class Key:
    def __init__(self, name):
        self.seed = hashlib.sha256(f"vectors {name}".encode()).digest()
        if name.startswith("ecdsa"):
            self.private = ec.derive_private_key(int.from_bytes(self.seed, "big") >> 8, ec.SECP256R1())
            pem = self.private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            self.declared = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem.decode()}}
        else:
            self.private = ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)
            raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.declared = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": raw.hex()}}
        self.id = hashlib.sha256(canonical(self.declared).encode()).hexdigest()

    def sign(self, message):
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message).hex()
        return self.private.sign(message, ec.ECDSA(hashes.SHA256())).hex()


def canonical(v):
    if isinstance(v, dict):
        return "{" + ",".join(canonical(k) + ":" + canonical(v[k]) for k in sorted(v)) + "}"
    if isinstance(v, list):
        return "[" + ",".join(map(canonical, v)) + "]"
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {True: "true", False: "false", None: "null"}[v] if v is None or isinstance(v, bool) else str(v)


ROOT, TIMESTAMP, SNAPSHOT = Key("root"), Key("ecdsa timestamp"), Key("snapshot")
TARGETS, TARGETS2, TEAM, OTHER = Key("targets 1"), Key("targets 2"), Key("team"), Key("other")
OWN = {"root": [ROOT], "timestamp": [TIMESTAMP], "snapshot": [SNAPSHOT], "targets": [TARGETS, TARGETS2]}
EXPIRES = "2099-01-01T00:00:00Z"
DIGEST = hashlib.sha256(b"hello").hexdigest()


def body(role, **changes):
    b = {"_type": role, "spec_version": "1.0.31", "version": 1, "expires": EXPIRES}
    if role == "root":
        b.update(consistent_snapshot=True, version=2, keys={k.id: k.declared for ks in OWN.values() for k in ks},
                 roles={r: {"keyids": [k.id for k in ks], "threshold": len(ks)} for r, ks in OWN.items()})
    elif role == "timestamp":
        b["meta"] = {"snapshot.json": {"version": 1}}
    elif role == "snapshot":
        b["meta"] = {"targets.json": {"version": 1}}
    else:
        b["targets"] = {"hello.txt": {"length": 5, "hashes": {"sha256": DIGEST}}}
    b.update(changes)
    return {k: v for k, v in b.items() if v is not ...}


def delegations(**changes):
    role = {"name": "team", "keyids": [TEAM.id], "threshold": 1, "terminating": False, "paths": ["team/*"]}
    role.update(changes)
    return {"keys": {TEAM.id: TEAM.declared}, "roles": [{k: v for k, v in role.items() if v is not ...}]}


def succinct(**changes):
    s = {"keyids": [TEAM.id], "threshold": 1, "bit_length": 4, "name_prefix": "bin", **changes}
    return {"keys": {TEAM.id: TEAM.declared}, "succinct_roles": s}


def envelope(signed, keys=None, message=None):
    message = (message or canonical(signed)).encode("utf-8", "surrogatepass")
    keys = OWN[signed["_type"]] if keys is None else keys
    return {"signatures": [{"keyid": k.id, "sig": k.sign(message)} for k in keys], "signed": signed}


def text(document, **how):
    return json.dumps(document, ensure_ascii=how.pop("ensure_ascii", False), **how)


def sign(role, **changes):
    return text(envelope(body(role, **changes)))


def put(document, path, raw):
    """Puts raw text in the place of a value, which has to be there once, and signs it."""
    marker = 123456789
    b = body(document)
    *way, last = path
    at = b
    for name in way:
        at = at[name]
    at[last] = marker
    d = envelope(b, message=canonical(b).replace(str(marker), raw))
    return text(d).replace(str(marker), raw)


def alias():
    """A role one of whose keys has signed twice, the second time under the ID of the other."""
    d = envelope(body("targets"), [TARGETS])
    d["signatures"].append({"keyid": TARGETS2.id, "sig": d["signatures"][0]["sig"]})
    return text(d)


def changed(change, document=None):
    d = document or envelope(body("targets"))
    change(d)
    return text(d)


def root(**roles):
    b = body("root")
    for name, change in roles.items():
        if change is None:
            del b["roles"][name]
        else:
            b["roles"][name].update(change)
    return text(envelope(b))


def taken():
    """A root that gives the root role to another key."""
    b = body("root")
    b["keys"][OTHER.id] = OTHER.declared
    b["roles"]["root"]["keyids"] = [OTHER.id]
    return b


def target(**changes):
    t = {"length": 5, "hashes": {"sha256": DIGEST}, **changes}
    return {"hello.txt": {k: v for k, v in t.items() if v is not ...}}


def written(signed):
    """What this project writes: canonical, but that JSON does not allow control characters in strings."""
    d = envelope(signed)
    sigs = ",".join(f'{{"keyid":"{s["keyid"]}","sig":"{s["sig"]}"}}' for s in d["signatures"])
    escaped = "".join(f"\\u{ord(c):04x}" if c < " " else c for c in canonical(signed))
    return f'{{"signatures":[{sigs}],"signed":{escaped}}}'


SIGSTORE = {"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {
    "identity": "someone@example.invalid", "issuer": "https://issuer.invalid"}}
plain = sign("targets")

VECTORS = {
    "valid": {
        "root-next": sign("root"),
        "root-without-consistent-snapshots": sign("root", consistent_snapshot=False),
        "root-with-a-key-that-signs-nothing": sign("root", keys={
            **body("root")["keys"], OTHER.id: OTHER.declared}),
        "timestamp": sign("timestamp"),
        "timestamp-with-length-and-hash": sign("timestamp", meta={
            "snapshot.json": {"version": 1, "length": 100, "hashes": {"sha256": DIGEST}}}),
        "snapshot": sign("snapshot"),
        "snapshot-with-delegated-roles": sign("snapshot", meta={
            "targets.json": {"version": 1}, "team.json": {"version": 7}, "team a/b.json": {"version": 1}}),
        "targets": plain,
        "targets-with-unknown-members": sign("targets", **{"x-list": [1, None, {"a": True}], "x-empty": {}}),
        "targets-indented": text(envelope(body("targets")), indent=2),
        "targets-escaped": text(envelope(body("targets", custom="é € 😀 / <&>")), ensure_ascii=True),
        "targets-control-characters": sign("targets", custom="a\u0000b\u0001c\u001fd\u007fe\n\t"),
        "targets-line-separators": sign("targets", custom="\u2028\u2029\ufeff"),
        "targets-not-composed": sign("targets", custom="e\u0301", **{"e\u0301": 1}),
        "targets-names-in-another-order-in-utf-16": sign("targets", custom={"\uff5e": 1, "\U0001f600": 2}),
        "targets-beyond-16-bits": sign("targets", custom={"\U0001f600": "\U0010ffff"}),
        "targets-control-characters-in-names": sign("targets", custom={"\u0000": 1, "\u001f\n": 2, "\u007f": 3, "\ufeff": 4}),
        "targets-quotes-and-slashes": sign("targets", custom={'"': "\\\"/", "\\": "/"}),
        "targets-integer-of-53-bits": sign("targets", custom=2**53 - 1),
        "targets-integer-of-63-bits": sign("targets", custom=2**63 - 1),
        "targets-with-a-signature-of-a-stranger": changed(lambda d: d["signatures"].append(
            {"keyid": OTHER.id, "sig": "00" * 64})),
        "targets-expires-with-an-offset": sign("targets", expires="2099-01-01T00:00:00+00:00"),
        "targets-expires-with-a-fraction": sign("targets", expires="2099-01-01T00:00:00.5Z"),
        "targets-spec-version-1": sign("targets", spec_version="1"),
        "targets-spec-version-1.x": sign("targets", spec_version="1.x"),
        "targets-that-delegate": sign("targets", delegations=delegations()),
        "targets-with-prefixes": sign("targets", delegations=delegations(paths=..., path_hash_prefixes=["0a", "f"])),
        "targets-with-neither-paths-nor-prefixes": sign("targets", delegations=delegations(paths=...)),
        "targets-succinct": sign("targets", delegations=succinct()),
    },
    # A part makes no sense, which concerns nobody but the role or the key that it is about.
    "partly": {
        "targets-delegation-without-name": sign("targets", delegations=delegations(name=...)),
        "targets-delegation-without-key-ids": sign("targets", delegations=delegations(keyids=...)),
        "targets-delegation-threshold-0": sign("targets", delegations=delegations(threshold=0)),
        "targets-delegation-terminating-text": sign("targets", delegations=delegations(terminating="no")),
        "targets-delegation-without-terminating": sign("targets", delegations=delegations(terminating=...)),
        "targets-delegation-paths-number": sign("targets", delegations=delegations(paths=7)),
        "targets-delegation-to-targets": sign("targets", delegations=delegations(name="targets")),
        "targets-delegation-twice": sign("targets", delegations={
            **delegations(), "roles": delegations()["roles"] * 2}),
        "root-without-the-snapshot": root(snapshot=None),
        "root-threshold-0": root(targets={"threshold": 0}),
        "root-key-id-twice": root(targets={"keyids": [TARGETS.id, TARGETS.id]}),
        "root-key-null": sign("root", keys={**body("root")["keys"], "x": None}),
        "targets-delegation-named-as-a-versioned-root": sign("targets", delegations=delegations(name="2.root")),
        "targets-delegation-in-a-folder-of-the-snapshot": sign("targets", delegations=delegations(name="snapshot.json/x")),
        "targets-delegation-threshold-2-of-1": sign("targets", delegations=delegations(threshold=2)),
        "targets-delegation-by-a-key-that-is-not-declared": sign("targets", delegations=delegations(keyids=[OTHER.id])),
        "targets-with-paths-and-prefixes": sign("targets", delegations=delegations(path_hash_prefixes=["0a"])),
        "targets-delegations-with-a-key-of-no-known-kind": sign("targets", delegations={
            **delegations(), "keys": {TEAM.id: {"keytype": "new", "scheme": "new", "keyval": {"public": "x"}}}}),
        "targets-delegations-with-a-sigstore-identity": sign("targets", delegations={
            **delegations(), "keys": {TEAM.id: TEAM.declared, "x": SIGSTORE}}),
        "targets-delegations-with-a-key-that-is-text": sign("targets", delegations={
            **delegations(), "keys": {TEAM.id: TEAM.declared, "x": "text"}}),
        "targets-delegations-with-a-key-id-of-control-characters": sign("targets", delegations={
            **delegations(), "keys": {TEAM.id: TEAM.declared, "x\n": OTHER.declared}}),
        "root-with-a-sigstore-identity": sign("root", keys={**body("root")["keys"], "x": SIGSTORE}),
        "root-key-of-targets-not-declared": root(targets={"keyids": [k.id for k in OWN["targets"]] + ["x"]}),
    },
    "reject": {
        "targets-empty": "",
        "targets-not-json": "<html></html>",
        "targets-cut-off": plain[:-9],
        "targets-twice": plain + plain,
        "targets-bom": "\ufeff" + plain,
        "targets-in-an-array": f"[{plain}]",
        "targets-null": '{"signatures":null,"signed":null}',
        "targets-without-signatures": changed(lambda d: d.pop("signatures")),
        "targets-without-signed": changed(lambda d: d.pop("signed")),
        "targets-signatures-that-are-no-list": changed(lambda d: d.update(signatures={})),
        "targets-key-id-twice": changed(lambda d: d["signatures"].append(d["signatures"][0])),
        "targets-duplicate-member": plain.replace('"version": 1', '"version": 9, "version": 1'),
        "targets-duplicate-member-escaped": plain.replace('"version": 1', '"versio\\u006e": 9, "version": 1'),
        "targets-fraction": put("targets", ["version"], "1.5"),
        "targets-exponent": put("targets", ["version"], "1e0"),
        "targets-version-0": sign("targets", version=0),
        "targets-version-negative": sign("targets", version=-1),
        "targets-version-2-to-53": sign("targets", version=2**53),
        "targets-version-2-to-63": sign("targets", version=2**63),
        "targets-version-text": sign("targets", version="1"),
        "targets-without-version": sign("targets", version=...),
        "targets-without-expires": sign("targets", expires=...),
        "targets-expires-a-day": sign("targets", expires="2099-01-01"),
        "targets-of-no-type": changed(lambda d: d["signed"].pop("_type")),
        "targets-of-type-mirrors": changed(lambda d: d["signed"].update(_type="mirrors")),
        "targets-that-are-a-snapshot": text(envelope(body("snapshot"), OWN["targets"])),
        "targets-spec-version-2": sign("targets", spec_version="2.0.0"),
        "targets-spec-version-number": sign("targets", spec_version=1),
        "targets-target-null": sign("targets", targets={"hello.txt": None}),
        "targets-without-targets": sign("targets", targets=...),
        "targets-length-text": sign("targets", targets=target(length="5")),
        "targets-length-negative": sign("targets", targets=target(length=-1)),
        "targets-without-length": sign("targets", targets=target(length=...)),
        "targets-without-hashes": sign("targets", targets=target(hashes=...)),
        "targets-no-hashes": sign("targets", targets=target(hashes={})),
        "targets-hash-number": sign("targets", targets=target(hashes={"sha256": 7})),
        "targets-delegations-null": sign("targets", delegations=None),
        "targets-delegations-empty": sign("targets", delegations={}),
        "targets-roles-and-succinct": sign("targets", delegations={**delegations(), **succinct()}),
        "targets-succinct-of-0-bits": sign("targets", delegations=succinct(bit_length=0)),
        "targets-succinct-of-33-bits": sign("targets", delegations=succinct(bit_length=33)),
        "targets-lone-surrogate": text(envelope(body("targets"))).replace("hello.txt", "hello\\ud800.txt"),
        "targets-integer-of-65-bits": sign("targets", custom=2**64),
        "targets-nested-deep": put("targets", ["version"], "[" * 200 + "]" * 200),
        "root-by-others": text(envelope(body("root"), [OTHER])),
        "root-by-targets": text(envelope(body("root"), OWN["targets"])),
        "root-without-roles": sign("root", roles=...),
        "root-without-keys": sign("root", keys=...),
        "timestamp-without-the-snapshot": sign("timestamp", meta={}),
        "timestamp-with-more": sign("timestamp", meta={"snapshot.json": {"version": 1}, "x.json": {"version": 1}}),
        "timestamp-meta-null": sign("timestamp", meta=None),
        "snapshot-without-targets": sign("snapshot", meta={}),
        "snapshot-version-0": sign("snapshot", meta={"targets.json": {"version": 0}}),
        "snapshot-length-negative": sign("snapshot", meta={"targets.json": {"version": 1, "length": -1}}),
    },
    "unverified": {
        "root-by-its-own-keys-only": text(envelope(taken(), [OTHER])),
        "timestamp-by-others": text(envelope(body("timestamp"), [SNAPSHOT])),
        "timestamp-of-other-content": changed(lambda d: d["signed"].update(version=2), envelope(body("timestamp"))),
        "snapshot-empty-signature": text({"signatures": [{"keyid": SNAPSHOT.id, "sig": ""}], "signed": body("snapshot")}),
        "snapshot-under-another-id": text({"signatures": [{
            "keyid": OTHER.id, "sig": SNAPSHOT.sign(canonical(body("snapshot")).encode())}], "signed": body("snapshot")}),
        "snapshot-not-canonical": text(envelope(body("snapshot"), message=text(body("snapshot")))),
        "targets-unsigned": text(envelope(body("targets"), [])),
        "targets-a-signature-too-few": text(envelope(body("targets"), [TARGETS])),
        "targets-one-key-under-two-ids": alias(),
        "targets-one-right-and-one-of-a-stranger": text(envelope(body("targets"), [TARGETS, OTHER])),
    },
}

for name, text_of_it in list(VECTORS["valid"].items()):
    if name.startswith("targets"):
        VECTORS["valid"][f"{name}-written-anew"] = written({**json.loads(text_of_it)["signed"], "version": 2, "expires": EXPIRES})

if __name__ == "__main__":
    first = body("root", version=1)
    (HERE / "root.json").write_text(text(envelope(first), indent=1))
    for folder, vectors in VECTORS.items():
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
        for name, content in vectors.items():
            (HERE / folder / f"{name}.json").write_text(content, encoding="utf-8", newline="")
