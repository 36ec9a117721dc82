"""Certificates for tests, made by certs/make-certs.sh; each is made once per folder."""

import subprocess
from collections import namedtuple
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "certs" / "make-certs.sh"

# What a client shows (cert, key) and what it trusts (ca). cert and key are None without.
Identity = namedtuple("Identity", "name cert key ca")


class Certs:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.device_ca = self.folder / "device-ca.crt"
        self.operator_ca = self.folder / "operator-ca.crt"
        self._made = {}
        self.make("init", self.folder)

    @staticmethod
    def run(*args):
        """Runs the script; the result has returncode, stdout and stderr."""
        return subprocess.run([SCRIPT, *map(str, args)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)

    def make(self, *args):
        result = self.run(*args)
        assert result.returncode == 0, f"make-certs.sh {args}: {result.stderr}"

    def device(self, name, *options):
        """options as make-certs.sh takes them: --expired; --unchecked-name CN (name is the file's)."""
        return self._identity("device", "devices", name, name, options)

    def ingest(self, number, *options):
        return self._identity("ingest", "ingests", number, f"_ingest-{number}", options)

    def operator(self, name, *options):
        return self._identity("operator", "operators", name, f"_op-{name}", options)

    def broker(self, name, *other_names):
        """A certificate for these host names and addresses."""
        return self._identity("broker", "brokers", name, name, other_names)

    def nobody(self):
        """Trusts the broker and shows no certificate."""
        return Identity("nobody", None, None, self.device_ca)

    def self_signed(self, name):
        """A key that has signed its own certificate."""
        cert, key = self.folder / f"self-{name}.crt", self.folder / f"self-{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", f"/CN={name}",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        return Identity(name, cert, key, self.device_ca)

    def _identity(self, command, folder, argument, file, options):
        wanted = (command, str(argument))
        if wanted not in self._made:
            self.make(command, self.folder, argument, *options, "--quiet")
            stem = self.folder / folder / file
            self._made[wanted] = options, Identity(file, Path(f"{stem}.crt"), Path(f"{stem}.key"),
                                                   self.device_ca)
        made_with, identity = self._made[wanted]
        assert made_with == options, f"{command} {argument} was made with {made_with} before"
        return identity
