"""Several devices of one stack that keep the same users' documents, an operator who decides, and
what the cloud has. A device goes offline by its daemon's end, or by its connection's (a cable)."""

import json
import signal
import socket
import sqlite3
import threading
import time
import uuid

from lib.broker import ADDRESS, HOST, free_ports
from lib.mqtt import Client
from lib.plain import unpack
from lib.stack import Edge, Stack
from lib.wait import wait_until

SETTINGS = "settings"
ARGUMENT_MAX = 100000  # a longer document goes by a file
CALLS_AT_ONCE = 16


class Cable:
    """A TCP connection to the broker that can be cut, or made deaf: then what the device says still
    arrives, and nothing comes back."""

    def __init__(self, target):
        self.port, = free_ports(1)
        self._target = target
        self._lock = threading.Lock()
        self._listener = None
        self._sockets = set()
        self.deaf = False
        self.mend()

    def mend(self):
        """In use again, for who connects anew."""
        self.deaf = False
        if self._listener is not None:
            return
        self._listener = socket.create_server((ADDRESS, self.port))
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self):
        """Connections end, new ones are refused."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    def drop(self):
        """What is connected now ends."""
        with self._lock:
            ended, self._sockets = self._sockets, set()
        for each in ended:
            self._end(each)

    @staticmethod
    def _end(each):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self, listener):
        while True:
            try:
                device, _ = listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection((ADDRESS, self._target))
            except OSError:
                device.close()
                continue
            for each in (device, broker):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                alive = self._listener is listener
                self._sockets |= {device, broker}
            if not alive:
                self.drop()
            for args in ((device, broker, False), (broker, device, True)):
                threading.Thread(target=self._pump, args=args, daemon=True).start()

    def _pump(self, source, target, down):
        try:
            while data := source.recv(65536):
                if not (down and self.deaf):
                    target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            self._end(each)
        if down:
            with self._lock:
                self._sockets -= {source, target}

    close = cut


class Device:
    """One edge agent, and the verbs that a person or an application uses on it."""

    def __init__(self, fleet, name, folder=None, **values):
        """folder: another one than that of the device's name, for a second copy of it."""
        self.fleet, self.name = fleet, name
        self.cable = Cable(fleet.stack.broker.device_port)
        self.edge = fleet.stack.edges[folder or name] = Edge(
            fleet.broker, fleet.stack.certs.device(name), fleet.stack.folder / (folder or name),
            broker__url=f"mqtts://{HOST}:{self.cable.port}", broker__flap_wait="20ms", **values)
        self._files = 0

    def __repr__(self):
        return self.name

    # ---- its daemon and its connection ----

    def start(self):
        self.edge.start()
        return self

    def stop(self):
        self.edge.stop()

    def restart(self):
        self.edge.restart()

    def unplug(self):
        """Offline with a running daemon."""
        self.cable.cut()
        wait_until(lambda: not self.status()["is_online"], 10, f"{self.name} offline")

    def plug(self, timeout=10):
        """Online again, at once: `flush` does not wait for the pause between two attempts."""
        self.cable.mend()
        wait_until(self._back, timeout, lambda: f"{self.name} online: {self.edge.log()[-1500:]}")

    def _back(self):
        if self.status()["is_online"]:
            return True
        self.edge.cli("flush", "--timeout", "500ms", check=False)
        return self.status()["is_online"]

    def restart_offline(self):
        """Unplugged, its daemon is stopped and started; it is there again on return."""
        self.stop()
        self.edge.launch()
        wait_until(lambda: self.status()["running"], 10, f"{self.name} running")

    def wait_settled(self, timeout=20):
        wait_until(self.edge.settled, timeout,
                   lambda: f"{self.name} settled: {self.status()}\n{self.edge.log()[-1500:]}")

    # ---- documents ----

    def put(self, user, document, table=SETTINGS, id_=None, op_id=None, check=True, args=()):
        """document: a value, or a text that goes in as it is. The receipt; check=False: the result
        of the command."""
        text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
        if len(text.encode()) > ARGUMENT_MAX:
            text = f"@{self.file(text)}"
        if table == SETTINGS:
            verb = ["settings", "put", "--user", user]
            verb += ["--id", op_id] if op_id else []
        else:
            verb = ["records", "put", "--table", table, "--user", user]
            verb += ["--id", id_] if id_ is not None else []
            verb += ["--op-id", op_id] if op_id else []
        result = self.edge.cli(*verb, *args, "--json", "--", text, check=check)
        return json.loads(result.stdout) if check else result

    def edit(self, user, table, id_, change, note=None):
        """Puts what change(value) makes of the document; note(receipt). Its daemon is held
        meanwhile: what a pull brought between reading and writing would be taken back by this."""
        running = self.edge.running()
        for attempt in range(50):
            if running:
                time.sleep(min(0.01 * attempt, 0.3))  # after the first: until it has written
                self.edge.proc.signal(signal.SIGSTOP)
            try:
                result = self.read(user, table, id_, "--set", "outbox.busy_timeout=50ms")
                if result.returncode in (0, 5):
                    value = change(json.loads(result.stdout) if result.returncode == 0 else None)
                    result = self.put(user, value, table, id_, check=False,
                                      args=["--set", "outbox.busy_timeout=50ms"])
            finally:
                if running:
                    self.edge.proc.signal(signal.SIGCONT)
            if result.returncode == 0:
                if note is not None:
                    note(json.loads(result.stdout))
                return value
            assert "busy" in result.stderr, result  # it was held while it wrote
        raise AssertionError(f"{self.name}: {result}")

    def file(self, text):
        """A file with that text; its path."""
        self._files += 1
        path = self.edge.folder / f"document-{self._files}.json"
        path.write_bytes(text.encode())
        return path

    def delete(self, user, table, id_, check=True):
        return self.edge.cli("records", "delete", "--table", table, "--user", user, "--id", id_,
                             "--json", check=check)

    def read(self, user, table, id_, *args):
        """The result of the command."""
        verb = ["settings", "get"] if table == SETTINGS else ["records", "get", "--table", table,
                                                              "--id", id_]
        return self.edge.cli(*verb, "--user", user, *args, check=False)

    def text(self, user, table=SETTINGS, id_=None):
        """The document as it was put, None where there is none."""
        result = self.read(user, table, id_)
        assert result.returncode in (0, 5), result.stderr
        if result.returncode == 5:
            return None
        assert result.stdout.endswith("\n")
        return result.stdout[:-1]

    def get(self, user, table=SETTINGS, id_=None):
        text = self.text(user, table, id_)
        return None if text is None else json.loads(text)

    def about(self, user, table=SETTINGS, id_=None):
        """What --json says of a document."""
        if table == SETTINGS:
            return self.edge.json("settings", "get", "--user", user)
        return self.edge.json("records", "get", "--table", table, "--user", user, "--id", id_)

    def list(self, user, table):
        """{id: value} of a table, page by page."""
        found, offset = {}, 0
        while True:
            page = self.edge.json("records", "list", "--table", table, "--user", user, "--limit",
                                  1000, "--offset", offset)
            found.update({item["id"]: item["data"] for item in page["items"]})
            if not page["has_more"]:
                return found
            offset = page["next_offset"]

    # ---- users, conflicts ----

    def add_user(self, user):
        return self.edge.json("user", "add", user)

    def user(self, user):
        """Its entry of `user list`."""
        return next((entry for entry in self.edge.json("user", "list")["users"]
                     if entry["user_id"] == user), None)

    def sync(self, user=None, table=None, timeout="20s", check=True):
        args = ["--user", user] if user else []
        args += ["--table", table] if table else []
        result = self.edge.cli("sync", *args, "--timeout", timeout, "--json", check=check)
        return json.loads(result.stdout) if check else result

    def status(self):
        return self.edge.status()

    def conflicts(self, user, everything=False):
        args = ["--all"] if everything else []
        return self.edge.json("conflicts", "list", "--user", user, *args)["conflicts"]

    def wait_conflicts(self, user, count=1, timeout=15):
        """Until so many of that user are open; returns them."""
        wait_until(lambda: len(self.conflicts(user)) == count, timeout,
                   lambda: f"{count} conflicts of {user} on {self.name}: {self.conflicts(user)}")
        return self.conflicts(user)

    def resolve(self, conflict, *choice):
        """choice: "--keep-local", "--use-server", or "--merge" and a value."""
        args = list(choice)
        if args[0] == "--merge" and not isinstance(args[1], str):
            args[1] = self.file(json.dumps(args[1], ensure_ascii=False))
        return self.edge.json("conflicts", "resolve", conflict, *args)

    # ---- its socket ----

    def calls(self, calls):
        """Many calls on the daemon's socket; their answers."""
        answers = []
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.edge.state / "agent.sock"))
            with connection.makefile("rb") as lines:
                for first in range(0, len(calls), CALLS_AT_ONCE):
                    some = calls[first:first + CALLS_AT_ONCE]
                    connection.sendall(b"".join(
                        (call if isinstance(call, str) else json.dumps(call)).encode() + b"\n"
                        for call in some))
                    answers += [json.loads(lines.readline()) for _ in some]
        return answers

    def put_many(self, user, table, texts):
        """{id: text}: the documents go in as they are, one operation each."""
        answers = self.calls([
            f'{{"verb":"document.put","user":"{user}","table":"{table}","id":{json.dumps(id_)},'
            f'"data":{one_line(text)}}}' for id_, text in texts.items()])
        for id_, answer in zip(texts, answers, strict=True):
            assert answer["success"] and answer["queued"], (id_, answer)

    def all_texts(self, user, table):
        """{id: value} of a table over the socket."""
        found, offset = {}, 0
        while True:
            answer, = self.calls([{"verb": "document.list", "user": user, "table": table,
                                   "limit": 1000, "offset": offset}])
            assert answer["success"], answer
            found.update({item["id"]: item["data"] for item in answer["items"]})
            if not answer["has_more"]:
                return found
            offset = answer["next_offset"]

    # ---- its file ----

    def rows(self, query, *values):
        database = sqlite3.connect(f"file:{self.edge.state}/outbox.db?mode=ro", uri=True, timeout=10)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def close(self):
        self.edge.close()
        self.cable.close()


def one_line(text):
    """A JSON document without line feeds between its values, otherwise as it is: a call is a line.
    A raw line feed cannot stand inside of a string."""
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


class Operator:
    """Asks on the admin topic."""

    def __init__(self, stack, name="alice"):
        self.name = f"_op-{name}"
        self._stack, self._identity = stack, stack.certs.operator(name)
        self._client = None
        self.connect()

    def connect(self):
        """Anew, where the broker has gone since."""
        if self._client is not None and self._client.connected():
            return
        self._client = Client(self._identity, self._stack.broker.operator_port)
        self._client.subscribe(f"sb/v1/admin/{self.name}/reply", "sb/v1/event/+")

    def request(self, op, id_=None, **args):
        """The whole answer."""
        self.connect()
        id_ = id_ or str(uuid.uuid4())
        seen = len(self._client.messages)
        self._client.publish(f"sb/v1/admin/{self.name}/req", json.dumps(
            {"v": 1, "kind": "request", "id": id_, "op": op, "args": args}).encode())
        return wait_until(lambda: self._answer(id_, seen), 10, f"an answer to {op} {args}")

    def _answer(self, id_, seen):
        for message in self._client.messages[seen:]:
            if message.topic == f"sb/v1/admin/{self.name}/reply":
                answer = unpack(message.payload)
                if answer.get("id") == id_:
                    return answer
        return None

    def ask(self, op, **args):
        """The data of an answer that must be good."""
        answer = self.request(op, **args)
        assert answer["success"], answer
        return answer["data"]

    def events(self, kind):
        found = [unpack(message.payload) for message in self._client.messages
                 if message.topic.startswith("sb/v1/event/")]
        return [event for event in found if event["event"] == kind]

    def close(self):
        if self._client.connected():
            self._client.disconnect()


class Fleet:
    """A stack with devices; nothing is started yet."""

    def __init__(self, certs, names=("dev-a", "dev-b", "dev-c"), edge=None, before_start=None,
                 tables=None, **ingest_values):
        """edge: values of all devices. before_start(stack): with nothing running yet. tables: the
        declared ones, {name: what its mapping file says beside "table"}."""
        self.stack = Stack(certs, broker__flap_wait="20ms", **ingest_values)
        self.ingest, self.broker = self.stack.ingest, self.stack.broker
        self.devices = []
        self.operator = None
        try:
            if tables is not None:
                self.declare(tables)
            if before_start is not None:
                before_start(self.stack)
            self.stack.start()
            self.operator = Operator(self.stack)
            for name in names:
                self.add(name, **(edge or {}))
        except BaseException:
            self.close()
            raise

    def declare(self, tables):
        """Taken up by the next start of the ingest."""
        folder = self.stack.folder / "mappings"
        folder.mkdir(exist_ok=True)
        for name, more in tables.items():
            if more:
                (folder / f"{name}.json").write_text(json.dumps({"table": name, **more}))
        self.ingest.configure(mappings__dir=folder, records__tables=", ".join(tables))

    def add(self, name, **values):
        device = Device(self, name, **values)
        self.devices.append(device)
        return device

    def start(self):
        for device in self.devices:
            device.edge.launch()
        for device in self.devices:
            wait_until(lambda device=device: device.edge._connected(), 10,
                       lambda device=device: f"{device} online:\n{device.edge.log()}")
        return self

    def bind(self, user, devices=None):
        """Grants and adds the user on these devices (all)."""
        for device in devices or self.devices:
            self.ingest.cli("device", "grant", device.name, user)
            device.add_user(user)

    def unbind(self, user):
        """Nobody pulls for that user any more: devices of many users take longer to start."""
        for device in self.devices:
            device.edge.cli("user", "remove", user, check=False)

    def recover(self):
        """Whatever a test left behind: all are running and connected."""
        if not self.broker.running():
            self.broker.start()
        if not self.ingest.running():
            self.ingest.start()
        for device in self.devices:
            device.cable.mend()
            if not device.edge.running():
                device.edge.launch()
        for device in self.devices:
            device.plug(20)

    # ---- what the cloud has ----

    def rows(self, query, *values):
        database = sqlite3.connect(f"file:{self.ingest.database}?mode=ro", uri=True, timeout=10)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def cloud_text(self, user, table=SETTINGS, id_=None):
        """The document in force, None where there is none."""
        rows = self.rows("SELECT coalesce(v.result, v.submitted) FROM documents d JOIN versions v ON"
                         " v.user = d.user AND v.version = d.version WHERE d.user = ? AND d.doc = ?",
                         user, SETTINGS if table == SETTINGS else f"{table}/{id_}")
        return rows[0][0] or None if rows else None

    def cloud(self, user, table=SETTINGS, id_=None):
        text = self.cloud_text(user, table, id_)
        return None if text is None else json.loads(text)

    def cloud_table(self, user, table):
        """{id: text} of the documents that are there."""
        return dict(self.rows(
            "SELECT d.id, coalesce(v.result, v.submitted) AS text FROM documents d JOIN versions v"
            " ON v.user = d.user AND v.version = d.version WHERE d.user = ? AND d.tbl = ?"
            " AND text <> ''", user, table))

    def versions(self, user, table=SETTINGS, id_=None):
        """[(version, device, submitted, result)], oldest first; texts, "" for a deletion."""
        return self.rows("SELECT version, device, submitted, coalesce(result, submitted)"
                         " FROM versions WHERE user = ? AND doc = ? ORDER BY version",
                         user, SETTINGS if table == SETTINGS else f"{table}/{id_}")

    def open_conflicts(self, user):
        return self.rows("SELECT op_id, pointers FROM conflicts WHERE user = ? AND resolved_ms IS"
                         " NULL ORDER BY id", user)

    # ---- waiting ----

    def texts(self, user, table=SETTINGS, id_=None, devices=None):
        texts = {device.name: device.text(user, table, id_) for device in devices or self.devices}
        texts["cloud"] = self.cloud_text(user, table, id_)
        return texts

    def wait_same(self, user, table=SETTINGS, id_=None, devices=None, timeout=15, **wanted):
        """Until the cloud and the devices have the same text, and it is `value` or `text` where
        that is given. Returns the text."""

        def same():
            texts = set(self.texts(user, table, id_, devices).values())
            if len(texts) > 1:
                return None
            text, = texts
            if "text" in wanted and text != wanted["text"]:
                return None
            if "value" in wanted and (None if text is None else json.loads(text)) != wanted["value"]:
                return None
            return text, True

        def problem():
            logs = "".join(f"\n{device}: {device.edge.log()[-500:]}"
                           for device in devices or self.devices)
            return (f"{user} {table} {id_} the same everywhere"
                    f"{f' and {wanted}' if wanted else ''}:"
                    f" {self.texts(user, table, id_, devices)}{logs}")

        return wait_until(same, timeout, problem)[0]

    # ---- encrypted users: the cloud has a token, the devices the text ----

    def wait_opened(self, user, text, table=SETTINGS, id_=None, timeout=15):
        """Until every device has exactly this text."""
        wait_until(lambda: all(device.text(user, table, id_) == text for device in self.devices),
                   timeout, lambda: f"{text[:200]} on all: " + "".join(
                       f"\n{device}: {(device.text(user, table, id_) or '')[:200]}\n"
                       f"{device.edge.log()[-500:]}" for device in self.devices))

    def wait_same_text(self, user, table=SETTINGS, id_=None, timeout=15, key=None, **wanted):
        """Until the devices have the same text, and it is `value` where that is given; the cloud
        has a token, which `key` opens where that is given. Returns the text."""

        def same():
            texts = {device.text(user, table, id_) for device in self.devices}
            if len(texts) > 1:
                return None
            text, = texts
            if "value" in wanted and (None if text is None else json.loads(text)) != wanted["value"]:
                return None
            token = json.loads(self.cloud_text(user, table, id_) or "null")
            if text is None or token is None:
                return (None,) if text is None and token is None else None
            if not isinstance(token, str) or not token.startswith("gAAAA"):
                return None
            return (text,) if key is None or self._opens(key, token) == json.loads(text) else None

        return wait_until(same, timeout, lambda: f"{user} {table} {id_} the same everywhere {wanted}:"
                          f" {self.texts(user, table, id_)}" + "".join(
                              f"\n{device}: {device.edge.log()[-500:]}"
                              for device in self.devices))[0]

    @staticmethod
    def _opens(key, token):
        """The data inside, None where another key is needed."""
        from cryptography.fernet import Fernet, InvalidToken
        try:
            return json.loads(Fernet(key).decrypt(token.encode()))["data"]
        except InvalidToken:
            return None

    def cloud_tokens(self, user):
        """How many versions are there; all of them tokens or removals."""
        texts = [text for text, in self.rows("SELECT submitted FROM versions WHERE user = ?", user)]
        assert all(text == "" or text.startswith('"gAAAA') for text in texts), texts
        return len(texts)

    def settle(self, devices=None, timeout=20):
        for device in devices or self.devices:
            if device.edge.running():
                device.wait_settled(timeout)

    def verified(self):
        return self.stack.verified()

    def close(self):
        if self.operator is not None:
            self.operator.close()
        for device in self.devices:
            device.close()
        self.stack.close()
