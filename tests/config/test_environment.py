"""What the environment may and may not say, seen as an operator sees it: a command and its answer."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SECRET = "kept-as-random-as-a-test-needs-0123456789-abcdefghijkl"
PRODUCTION = {"ALLOWED_HOSTS": "billing.example.com", "SECRET_KEY": SECRET}


def run(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROJECT / "manage.py", *arguments],
        env={"PATH": os.defpath, "DATA_DIR": str(data_dir), "ENV_FILE": "", **variables},
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
    )


def setting(data_dir: Path, expression: str, **variables: str) -> str:
    printed = run(
        data_dir,
        "shell",
        "--no-imports",
        "-c",
        f"from django.conf import settings as s; print(({expression}))",
        **variables,
    )
    assert printed.returncode == 0, printed.stderr
    return printed.stdout.strip()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_production_settings_pass_every_deployment_check(data_dir):
    checked = run(data_dir, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_deployment_check_says_that_settings_are_local(data_dir):
    checked = run(data_dir, "check", "--deploy", "--fail-level", "WARNING")
    assert checked.returncode == 1
    assert "reckoner.W001" in checked.stderr
    assert "(security." not in checked.stderr


def test_without_any_variable_settings_are_local_and_not_debugging(data_dir):
    said = setting(
        data_dir, "s.LOCAL, s.DEBUG, s.ALLOWED_HOSTS, s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT"
    )
    assert said == "(True, False, ['localhost', '127.0.0.1', '[::1]'], False, False)"


def test_a_public_name_brings_https(data_dir):
    said = setting(
        data_dir,
        "s.LOCAL, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.PUBLIC_URL",
        **PRODUCTION,
    )
    assert said == "(False, True, True, True, 'https://billing.example.com')"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ALLOWED_HOSTS": "billing.example.com"}, "Set SECRET_KEY to 50 or more random characters"),
        ({**PRODUCTION, "DEBUG": "true"}, "DEBUG shows settings and data to every visitor"),
        (
            {**PRODUCTION, "WEBHOOK_ALLOW_PRIVATE": "true"},
            "WEBHOOK_ALLOW_PRIVATE lets webhooks reach the inside",
        ),
        ({"ALLOWED_HOSTS": " , "}, "ALLOWED_HOSTS is empty"),
        ({"DATABASE_URL": "sqlite:///money.db"}, "DATABASE_URL must name a PostgreSQL server"),
        ({"DATABASE_URL": "somewhere"}, "DATABASE_URL must name a PostgreSQL server"),
        ({"PORT": "eight"}, "PORT is 'eight': set it to a whole number, 1 to 65535"),
        ({"PORT": "65536"}, "PORT is '65536': set it to a whole number, 1 to 65535"),
        ({"EVENT_RETENTION_DAYS": "long"}, "EVENT_RETENTION_DAYS is 'long': set it to a whole number"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'LOUD': set it to one of DEBUG, INFO"),
        (
            {"PUBLIC_URL": "billing.example.com"},
            "PUBLIC_URL is 'billing.example.com': set it to an address such as https",
        ),
        ({"EMAIL_URL": "smtp+tls://user:password@mail:port"}, "EMAIL_URL names no mail server"),
        ({"EMAIL_URL": "mail.example.com"}, "EMAIL_URL names no mail server"),
        ({"ENV_FILE": "nowhere.env"}, "nowhere.env cannot be read"),
        ({"GRACE_DAYS": "-1"}, "GRACE_DAYS is '-1': set it to a whole number, 0 or more"),
        ({"API_RATE": "many"}, "API_RATE is 'many': set it to a rate such as 600/minute"),
        ({"DEBUG": "maybe"}, "DEBUG is 'maybe': set it to true or false"),
        ({"DATABASE_URL": "mysql://a:b@c/d"}, "DATABASE_URL must name a PostgreSQL server"),
    ],
)
def test_an_unsafe_environment_is_refused_in_one_sentence(data_dir, variables, sentence):
    refused = run(data_dir, "check", **variables)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Reckoner cannot start: ")
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (data_dir / "postgres").exists()


@pytest.mark.parametrize("name", ["WEB_WORKERS", "WEB_THREADS", "PORT"])
def test_the_web_server_says_what_it_cannot_start_with_in_one_sentence(data_dir, name):
    refused = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi", "--check-config"],
        env={"PATH": os.defpath, "DATA_DIR": str(data_dir), "ENV_FILE": "", name: "0"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Reckoner cannot start: {name} is '0': set it to a whole number")
    assert "Traceback" not in refused.stderr


def test_every_process_reads_the_file_and_the_environment_goes_first(data_dir, tmp_path):
    file = tmp_path / "reckoner.env"
    file.write_text(
        "# who bills\n\n"
        "ISSUER_NAME=Example & Sons Ltd   # as registered\n"
        'export ISSUER_ADDRESS="1 Main Street #2\\nSpringfield"\n'
        "ISSUER_EMAIL=file@example.com\n"
        "ISSUER_TERMS=\n"
    )
    said = setting(
        data_dir,
        "s.ISSUER['name'], s.ISSUER['address'], s.ISSUER['email'], s.ISSUER['terms']",
        ENV_FILE=str(file),
        ISSUER_EMAIL="environment@example.com",
    )
    assert said == str(("Example & Sons Ltd", "1 Main Street #2\nSpringfield", "environment@example.com", ""))


def test_a_line_of_the_file_that_is_no_setting_stops_the_start(data_dir, tmp_path):
    file = tmp_path / "reckoner.env"
    file.write_text("ISSUER_NAME=Example Ltd\nISSUER_EMAIL: us@example.com\n")
    refused = run(data_dir, "check", ENV_FILE=str(file))
    assert refused.returncode == 1
    assert f"Line 2 of {file} is not understood: write NAME=value" in refused.stderr


def test_the_local_secret_is_random_private_and_kept(data_dir, tmp_path):
    first = setting(data_dir, "s.SECRET_KEY")
    assert len(first) >= 50
    assert setting(data_dir, "s.SECRET_KEY") == first
    assert setting(tmp_path / "another", "s.SECRET_KEY") != first
    assert stat.S_IMODE((data_dir / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == ["secret_key"]


def test_host_names_may_be_separated_by_spaces(data_dir):
    said = setting(
        data_dir, "s.ALLOWED_HOSTS", ALLOWED_HOSTS="a.example.com, b.example.com", SECRET_KEY=SECRET
    )
    assert said == "['a.example.com', 'b.example.com']"


def test_a_relative_data_folder_counts_from_the_checkout(data_dir):
    assert setting(data_dir, "s.DATA_DIR", DATA_DIR=".data-x", **PRODUCTION) == str(PROJECT / ".data-x")


@pytest.mark.parametrize(("module", "pooled"), [("config.settings", False), ("config.wsgi", True)])
def test_only_the_web_server_pools_connections(data_dir, module, pooled):
    code = (
        f"import {module}; from django.conf import settings; "
        "print('pool' in settings.DATABASES['default'].get('OPTIONS', {}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PATH": os.defpath,
            "DATA_DIR": str(data_dir),
            "ENV_FILE": "",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        },
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == str(pooled)


def test_commands_without_a_query_start_no_database(data_dir):
    assert run(data_dir, "check").returncode == 0
    assert run(data_dir, "findstatic", "config/icon.svg").returncode == 0
    assert not (data_dir / "postgres").exists()


def test_every_variable_is_documented():
    sources = (PROJECT / "config").glob("*.py")
    read = re.compile(
        r"""(?:env\.\w+|whole_number|yes_or_no|request_rate|time_of_day|chosen_words|whole_number_or_none|log_level|environ\.get)\(\s*["']([A-Z_]+)["']"""
    )
    named = {name for source in sources for name in read.findall(source.read_text())}
    documented = set(
        re.findall(r"^\| `([A-Z_]+)`", (PROJECT / "docs/configuration.md").read_text(), re.MULTILINE)
    )
    assert named == documented
