"""The embedded PostgreSQL survives what happens to processes: sharing, leaving, being killed, odd places."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.embedded.account import open_the_way
from config.embedded.cluster import Cluster
from config.embedded.folder import DataFolder

PROJECT = Path(__file__).resolve().parents[2]
CLIENT = [sys.executable, "-m", "tests.config.client"]


class Client:
    """A process attached to the server of `data_dir`."""

    def __init__(self, data_dir: Path, **options: object) -> None:
        self.process = subprocess.Popen(
            [*CLIENT, str(data_dir)],
            cwd=options.pop("cwd", PROJECT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def sql(self, statement: str) -> str:
        self.process.stdin.write(f"{statement}\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        line = self.process.stdout.readline()
        if line == "attached\n":
            return self._line()
        assert line, self.process.stderr.read()
        return line.strip()

    def leave(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of our own: pytest's is closed to other accounts again whenever another run starts."""
    with tempfile.TemporaryDirectory(prefix="reckoner-test-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def client(data_dir: Path) -> Iterator[Callable[..., Client]]:
    started = []

    def start(folder: Path = data_dir, **options: object) -> Client:
        started.append(Client(folder, **options))
        return started[-1]

    yield start
    for one in started:
        one.kill()
    wait_until_stopped(data_dir)


def wait_until_stopped(data_dir: Path) -> None:
    if data_dir.exists():
        DataFolder(data_dir).lock("keeper").release()


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def keeper_of(data_dir: Path) -> psutil.Process:
    return psutil.Process(server_pid(data_dir)).parent()


def state_on_disk(data_dir: Path) -> str:
    """What the control file says: "shut down" after a clean stop, "in production" after a crash."""
    cluster = Cluster(DataFolder(data_dir))
    said = subprocess.run(
        [cluster.binaries / "pg_controldata", "-D", cluster.folder.cluster],
        capture_output=True,
        text=True,
        check=True,
    )
    return next(line.split(":")[1].strip() for line in said.stdout.splitlines() if "cluster state" in line)


def test_processes_share_one_server(data_dir, client):
    first, second = client(), client()
    first.sql("CREATE TABLE shared (n int)")
    first.sql("INSERT INTO shared VALUES (1)")
    assert second.sql("SELECT n FROM shared") == "[(1,)]"


def test_many_processes_starting_at_once_start_one_server(data_dir, client):
    clients = [client() for _ in range(6)]
    starts = {one.sql("SELECT pg_postmaster_start_time()::text") for one in clients}
    assert len(starts) == 1


def test_server_outlives_the_process_that_started_it(data_dir, client):
    first, second = client(), client()
    first.sql("SELECT 1")
    second.sql("SELECT 1")
    pid = server_pid(data_dir)
    first.leave()
    assert second.sql("SELECT 2") == "[(2,)]"
    assert server_pid(data_dir) == pid


def test_last_process_returns_only_after_a_clean_stop(data_dir, client):
    one = client()
    one.sql("SELECT 1")
    one.leave()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    assert state_on_disk(data_dir) == "shut down"


def test_interrupt_from_the_terminal_reaches_the_client_only(data_dir, client):
    one = client(start_new_session=True)
    one.sql("CREATE TABLE kept (n int)")
    os.killpg(one.process.pid, signal.SIGINT)
    one.process.communicate()
    wait_until_stopped(data_dir)
    assert state_on_disk(data_dir) == "shut down"


def test_killed_client_does_not_keep_the_server_running(data_dir, client):
    one = client()
    one.sql("CREATE TABLE kept (n int)")
    one.kill()
    wait_until_stopped(data_dir)
    assert state_on_disk(data_dir) == "shut down"
    assert client().sql("SELECT count(*) FROM kept") == "[(0,)]"


def test_killed_server_is_revived_with_every_committed_row(data_dir, client):
    one = client()
    one.sql("CREATE TABLE kept (n int)")
    one.sql("INSERT INTO kept VALUES (120)")
    server = psutil.Process(server_pid(data_dir))
    server.kill()
    server.wait()
    folder = DataFolder(data_dir)
    wait_for(lambda: folder.read_state().ready and server_pid(data_dir) != server.pid)
    assert one.sql("SELECT n FROM kept") == "[(120,)]"


def test_server_and_keeper_killed_together_start_again(data_dir, client):
    one = client()
    one.sql("CREATE TABLE kept (n int)")
    one.sql("INSERT INTO kept VALUES (120)")
    keeper, server = keeper_of(data_dir), psutil.Process(server_pid(data_dir))
    keeper.kill()
    server.kill()
    wait_until_stopped(data_dir)
    assert one.sql("SELECT n FROM kept") == "[(120,)]"
    assert client().sql("SELECT n FROM kept") == "[(120,)]"


def test_server_whose_keeper_was_killed_is_taken_over(data_dir, client):
    one = client()
    one.sql("CREATE TABLE kept (n int)")
    keeper = keeper_of(data_dir)
    keeper.kill()
    one.kill()
    wait_until_stopped(data_dir)
    assert client().sql("SELECT count(*) FROM kept") == "[(0,)]"


@pytest.mark.parametrize(
    "content", ["", f"{os.getpid()}\n/elsewhere\n"], ids=["empty", "number of another process"]
)
def test_stale_pid_file_does_not_prevent_the_start(data_dir, client, content):
    one = client()
    one.sql("CREATE TABLE kept (n int)")
    one.leave()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    pid_file.write_text(content)
    shutil.copystat(data_dir / "postgres" / "PG_VERSION", pid_file)
    assert client().sql("SELECT count(*) FROM kept") == "[(0,)]"


def test_interrupted_initialisation_is_done_again(data_dir, client):
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    assert client().sql("SELECT 1") == "[(1,)]"
    assert not (data_dir / "postgres.new").exists()


def test_two_data_folders_are_two_servers(tmp_path, client):
    one, other = client(tmp_path / "one"), client(tmp_path / "other")
    one.sql("CREATE TABLE only_here (n int)")
    assert other.sql("SELECT to_regclass('only_here')") == "[(None,)]"
    for each in (one, other):
        each.leave()


@pytest.mark.parametrize("name", ["d" * 160, "a, b 'c' %d ü"], ids=["160 characters", "odd characters"])
def test_folder_whose_path_no_socket_can_have(tmp_path, client, name):
    data_dir = tmp_path / name
    one = client(data_dir)
    assert one.sql("SELECT 1") == "[(1,)]"
    socket_dir = (data_dir / "socket").readlink()
    assert socket_dir.stat().st_mode & 0o777 == 0o700
    one.leave()
    assert not socket_dir.exists()


def test_durability_is_on_and_the_network_is_off(client):
    one = client()
    for name, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
    }.items():
        assert one.sql(f"SELECT current_setting('{name}')") == f"[({value!r},)]"


def test_the_application_is_no_superuser(client):
    assert client().sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "[(False,)]"


def test_environment_of_the_caller_does_not_reach_the_server(data_dir, client):
    one = client(
        env=os.environ | {"PGDATA": "/nowhere", "PGPORT": "1", "LC_ALL": "xx_XX", "TZ": "Asia/Tokyo"}
    )
    assert one.sql("SELECT current_setting('timezone')") == "[('UTC',)]"


class TestAccounts:
    """Root lends the server an account; ordinary users run it as themselves."""

    @pytest.fixture
    def ordinary(self, tmp_path: Path) -> dict[str, object]:
        if os.geteuid() != 0:
            pytest.skip("only root can become another user")
        account = pwd.getpwnam("nobody")
        for path in (
            tmp_path / "code",
            Path(sys.executable),
            Path(sys.executable).resolve(),
            PROJECT / "config",
        ):
            open_the_way(path, account=account)
        shutil.copytree(PROJECT / "config" / "embedded", tmp_path / "code" / "config" / "embedded")
        shutil.copytree(PROJECT / "tests" / "config", tmp_path / "code" / "tests" / "config")
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": tmp_path / "code"}

    def test_ordinary_user_runs_the_server_as_itself(self, tmp_path, ordinary, client):
        home = tmp_path / "home"
        home.mkdir()
        os.chown(home, ordinary["user"], ordinary["group"])
        one = client(home / "data", **ordinary)
        assert one.sql("SELECT 1") == "[(1,)]"
        assert psutil.Process(server_pid(home / "data")).uids().real == ordinary["user"]
        one.leave()

    def test_root_leaves_a_users_folder_usable_for_that_user(self, tmp_path, ordinary, client):
        home = tmp_path / "home"
        home.mkdir()
        os.chown(home, ordinary["user"], ordinary["group"])
        by_root = client(home / "data")
        by_root.sql("CREATE TABLE made_by_root (n int)")
        by_root.leave()
        by_user = client(home / "data", **ordinary)
        assert by_user.sql("SELECT count(*) FROM made_by_root") == "[(0,)]"
        by_user.leave()

    def test_folder_of_somebody_else_is_refused_with_the_way_out(self, tmp_path, ordinary, client):
        by_root = client(tmp_path / "data")
        by_root.sql("SELECT 1")
        other = client(tmp_path / "data", **ordinary)
        _, said = other.process.communicate("SELECT 1\n")
        assert "belongs to root. Run as that user, or set DATA_DIR to a folder of your own." in said


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits as long as it takes; the run's own time limit ends a test that waits for ever."""
    while True:
        try:
            if condition():
                return
        except FileNotFoundError:
            continue
