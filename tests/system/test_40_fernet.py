"""Keys and tokens are good for Python's cryptography and its own for ours; key files and the
derived device id, by the command line."""

import json
import os
import random
import stat
import subprocess
import time

import pytest

from lib.agent_cli import AgentCli

fernet = pytest.importorskip("cryptography.fernet", reason="python3-cryptography is not installed")
Fernet, MultiFernet, InvalidToken = fernet.Fernet, fernet.MultiFernet, fernet.InvalidToken

SIZES = (0, 1, 15, 16, 17, 31, 32, 255, 4096, 65535, 264 * 1024, 1000000, 1048576)


@pytest.fixture
def cli(tmp_path):
    return AgentCli(tmp_path)


def probe(command, key_file, data):
    path = os.environ.get("SB_FERNET_PROBE")
    if not path:
        pytest.skip("SB_FERNET_PROBE does not name a fernet_probe")
    return subprocess.run([path, command, str(key_file)], input=data, capture_output=True,
                          check=False, timeout=60)


def ours(command, key_file, data):
    result = probe(command, key_file, data)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refusal(key_file, data, command="decrypt"):
    """The code's name."""
    result = probe(command, key_file, data)
    assert result.returncode == 1 and result.stdout == b"", result
    return result.stderr.decode().split(":")[0]


def key_file(folder, *keys):
    path = folder / "keys"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(b"".join(key + b"\n" for key in keys))
    return path


def plain_of(size):
    return random.Random(size).randbytes(size)


# ---- tokens ----

@pytest.mark.parametrize("size", SIZES)
def test_python_opens_our_tokens(tmp_path, size):
    key = Fernet.generate_key()
    before = int(time.time())
    token = ours("encrypt", key_file(tmp_path, key), plain_of(size))
    assert Fernet(key).decrypt(token) == plain_of(size)
    assert Fernet(key).decrypt(token, ttl=60) == plain_of(size)
    assert before <= Fernet(key).extract_timestamp(token) <= time.time()


@pytest.mark.parametrize("size", SIZES)
def test_tokens_of_python_are_opened(tmp_path, size):
    key = Fernet.generate_key()
    token = Fernet(key).encrypt_at_time(plain_of(size), 1700000000)
    result = probe("decrypt", key_file(tmp_path, key), token)
    assert result.returncode == 0 and result.stdout == plain_of(size)
    assert result.stderr == b"0 1700000000\n"


def test_tokens_are_those_of_python_for_many_keys_and_lengths(tmp_path):
    dice = random.Random(40)
    for _ in range(40):
        key, plain = Fernet.generate_key(), dice.randbytes(dice.randrange(200))
        path = key_file(tmp_path, key)
        assert Fernet(key).decrypt(ours("encrypt", path, plain)) == plain
        assert ours("decrypt", path, Fernet(key).encrypt(plain)) == plain


def test_rotated_keys(tmp_path):
    old, new = Fernet.generate_key(), Fernet.generate_key()
    token = Fernet(old).encrypt(b"plain")
    both = MultiFernet([Fernet(new), Fernet(old)])
    # the first encrypts, all decrypt
    path = key_file(tmp_path, new, old)
    result = probe("decrypt", path, token)
    assert result.stdout == b"plain" and result.stderr.startswith(b"1 ")
    renewed = ours("encrypt", path, b"plain")
    assert Fernet(new).decrypt(renewed) == b"plain"
    with pytest.raises(InvalidToken):
        Fernet(old).decrypt(renewed)
    # what MultiFernet re-encrypts is opened without the old key
    path = key_file(tmp_path, new)
    assert ours("decrypt", path, both.rotate(token)) == b"plain"
    assert refusal(path, token) == "wrong_key"


def test_an_altered_token_is_refused(tmp_path):
    key = Fernet.generate_key()
    path = key_file(tmp_path, key)
    token = Fernet(key).encrypt(b"a document")
    dice = random.Random(41)
    for _ in range(60):
        bad = bytearray(token)
        kind = dice.randrange(3)
        if kind == 0:
            at = dice.randrange(len(bad))
            bad[at] = dice.choice(bytes(set(b"AQgw09-_=+/% \n") - {bad[at]}))
        elif kind == 1:
            del bad[dice.randrange(len(bad)):]
        else:
            at = dice.randrange(len(bad))
            bad[at:at] = bad[at:at + 4]
        if bytes(bad) != token: # ours is stricter: Python skips characters that are not base64's
            assert refusal(path, bytes(bad)) in ("tampered", "wrong_key")


def test_a_token_that_python_made_of_something_else_is_no_document(tmp_path):
    key = Fernet.generate_key()
    path = key_file(tmp_path, key)
    assert refusal(path, Fernet(key).encrypt(b'{"theme":"dark"}'), "unseal") == "tampered"
    text = {"v": 1, "user": "u", "stream": "settings", "table": "settings", "id": "settings",
            "device": "d", "op_id": "o", "base": None, "hlc": "0" * 16, "top": "0" * 16}
    sealed = json.dumps({**text, "data": {"theme": "深色", "n": 12345678901234567}})
    assert json.loads(ours("unseal", path, Fernet(key).encrypt(sealed.encode()))) == {
        "theme": "深色", "n": 12345678901234567}


# ---- keys ----

def test_a_generated_key_is_one_for_python(cli, tmp_path):
    key = cli.ok("key", "generate")
    assert len(key) == 45 and key.endswith("\n")
    assert Fernet(key.strip()).decrypt(Fernet(key.strip()).encrypt(b"x")) == b"x"
    assert cli.ok("key", "generate") != key
    path = key_file(tmp_path, key.strip().encode())
    assert ours("decrypt", path, Fernet(key.strip()).encrypt(b"x")) == b"x"


def test_a_key_file_is_private_and_never_overwritten(cli, tmp_path):
    path = tmp_path / "new.key"
    before = os.umask(0)
    try:
        assert cli.ok("key", "generate", "--out", path) == ""
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_bytes()
    Fernet(text.strip())
    result = cli.run("key", "generate", "--out", path)
    assert result.returncode == 1 and "[exists]" in result.stderr
    assert path.read_bytes() == text
    link = tmp_path / "link.key"
    link.symlink_to(tmp_path / "elsewhere")
    assert cli.run("key", "generate", "--out", link).returncode == 1
    assert not (tmp_path / "elsewhere").exists()
    result = cli.run("key", "generate", "--out", tmp_path / "none" / "x.key")
    assert result.returncode == 5 and result.stdout == ""


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    key = Fernet.generate_key()
    path = key_file(tmp_path, key)
    token = ours("encrypt", path, b"x")
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        result = probe("decrypt", path, token)
        assert result.returncode == 1 and b"chmod 600" in result.stderr
        assert key[:8] not in result.stderr


def test_keys_come_from_files_and_the_environment_alone(cli, tmp_path):
    key = Fernet.generate_key().decode()
    result = cli.run("config", "get", **{"encryption.key": key})
    assert result.returncode == 6 and "SB_ENCRYPTION_KEY" in result.stderr
    assert key not in result.stderr + result.stdout
    cli.env["SB_ENCRYPTION_KEY"] = key
    shown = cli.ok("config", "get", "encryption.key")
    assert "(hidden)" in shown and key not in shown
    cli.ok("config", "check", **{"encryption.users": "user-1"})
    path = key_file(tmp_path, key.encode())
    both = cli.run("config", "check", **{"encryption.users": "*", "encryption.key_file": path})
    assert both.returncode == 6 and "both" in both.stderr
    del cli.env["SB_ENCRYPTION_KEY"]
    cli.ok("config", "check", **{"encryption.users": "*", "encryption.key_file": path})
    path.chmod(0o644)
    bad = cli.run("config", "check", **{"encryption.users": "*", "encryption.key_file": path})
    assert bad.returncode == 6 and "chmod 600" in bad.stderr
    none = cli.run("config", "check", **{"encryption.users": "user-1"})
    assert none.returncode == 6 and "key_file" in none.stderr


# ---- the device id ----

def test_the_device_id_is_kept_and_is_the_default_identity(cli):
    first = cli.json("device-id")
    assert set(first) == {"device_id", "device", "in_use"} and first["in_use"]
    assert first["device"] == first["device_id"] and len(first["device_id"]) == 64
    assert cli.ok("device-id") == first["device_id"] + "\n"
    kept = cli.state / "device-id"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text() == first["device_id"] + "\n"
    # it is never worked out again
    other = "0123456789abcdef" * 4
    kept.write_text(other + "\n")
    assert cli.json("device-id") == {"device_id": other, "device": other, "in_use": True}
    named = cli.json("device-id", **{"device.id": "edge-001"})
    assert named == {"device_id": other, "device": "edge-001", "in_use": False}
    kept.write_text("nonsense\n")
    result = cli.run("device-id")
    assert result.returncode == 1 and "[corrupt]" in result.stderr
    assert kept.read_text() == "nonsense\n"
