"""Checks our checkpoints and inclusion proofs with sigstore's own, and our bytes of events with rfc8785.

sigstore verifies no consistency proofs. Its log's id is our key's id in the note format, as it is for a Rekor of version 2."""

import base64
import json
import sys
from types import SimpleNamespace

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import verify_checkpoint
from sigstore._internal.trust import Key, Keyring, RekorKeyring
from sigstore.errors import VerificationError
from sigstore_models.common import v1

samples = json.load(open(sys.argv[1], encoding="utf-8"))
passed = failed = 0


def check(right, what):
    global passed, failed
    if right:
        passed += 1
    else:
        failed += 1
        print("WRONG:", what)


def keyring(verifier_key):
    """The key of the note format as sigstore's, under the id that stands in our notes."""
    _, identifier, key = verifier_key.split("+", 2)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    log_id = bytes.fromhex(identifier)
    kind = v1.PublicKeyDetails.PKIX_ED25519
    one = Key(SimpleNamespace(raw_bytes=der, key_details=kind))
    ring = Keyring([])
    ring._keyring[log_id] = one
    return RekorKeyring(ring), log_id


def entry(note, index, size, root, hashes, body):
    proof = SimpleNamespace(
        checkpoint=SimpleNamespace(envelope=note),
        log_index=index,
        tree_size=size,
        root_hash=root,
        hashes=hashes,
    )
    return SimpleNamespace(
        _inner=SimpleNamespace(
            inclusion_proof=proof, log_id=SimpleNamespace(key_id=log_id), canonicalized_body=body
        )
    )


def accepted(verify, *arguments):
    try:
        verify(*arguments)
        return True
    except VerificationError:
        return False


def flipped(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


ring, log_id = keyring(samples["key"])
trees = []
for number, note in enumerate(samples["checkpoints"]):
    _, size, root = note.split("\n")[:3]
    size, root = int(size), base64.b64decode(root)
    trees.append((note, size, root))
    check(accepted(verify_checkpoint, ring, entry(note, 0, size, root, [], b"")), f"checkpoint {number}")
    other = note.replace("\n", "\n1", 1)
    check(not accepted(verify_checkpoint, ring, entry(other, 0, size, root, [], b"")), f"checkpoint {number}, another size")
    head, signature = note.rstrip("\n").rsplit(" ", 1)
    signature = base64.b64decode(signature)
    other = f"{head} {base64.b64encode(signature[:4] + flipped(signature[4:], number)).decode()}\n"
    check(not accepted(verify_checkpoint, ring, entry(other, 0, size, root, [], b"")), f"checkpoint {number}, another signature")
    check(not accepted(verify_checkpoint, ring, entry(note, 0, size, flipped(root, number), [], b"")), f"checkpoint {number}, another root")

for number, it in enumerate(samples["inclusions"]):
    note, size, root = trees[it["checkpoint"]]
    hashes, body, index = [base64.b64decode(h) for h in it["hashes"]], it["body"].encode(), it["index"]
    check(accepted(verify_merkle_inclusion, entry(note, index, size, root, hashes, body)), f"inclusion {number}")
    if number % 4 == 0 or size == 1:
        body += b" "
    elif number % 4 == 1:
        root = flipped(root, number)
    elif number % 4 == 2:
        index = (index + 1) % size
    elif hashes and number % 8 == 3:
        hashes = hashes[:-1] + [flipped(hashes[-1], number)]
    else:
        hashes = hashes + [bytes(32)]
    check(not accepted(verify_merkle_inclusion, entry(note, index, size, root, hashes, body)), f"inclusion {number}, altered")

print(f"{len(trees)} checkpoints, {len(samples['inclusions'])} inclusion proofs, and each altered")
for number, body in enumerate(samples["bodies"]):
    check(rfc8785.dumps(json.loads(body)) == body.encode(), f"the bytes of event {number}")
print(f"{len(samples['bodies'])} events have the bytes that rfc8785 gives them")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
