"""The objects that fakesnow does not have: roles and what they are granted, warehouses, integrations, stages' access."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from emulator import words
from emulator.stages import Stage
from emulator.words import NAME, SqlError

_WAREHOUSE = {
    "WAREHOUSE_SIZE", "WAREHOUSE_TYPE", "AUTO_SUSPEND", "AUTO_RESUME", "INITIALLY_SUSPENDED", "COMMENT",
    "STATEMENT_TIMEOUT_IN_SECONDS", "MIN_CLUSTER_COUNT", "MAX_CLUSTER_COUNT", "SCALING_POLICY",
}  # fmt: skip
_STORAGE = {
    "TYPE", "STORAGE_PROVIDER", "ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_AWS_EXTERNAL_ID", "COMMENT",
    "STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS",
}  # fmt: skip
_CATALOG = {
    "CATALOG_SOURCE", "TABLE_FORMAT", "CATALOG_NAMESPACE", "REST_CONFIG", "CATALOG_URI", "CATALOG_API_TYPE",
    "CATALOG_NAME", "REST_AUTHENTICATION", "TYPE", "BEARER_TOKEN", "OAUTH_TOKEN_URI", "OAUTH_CLIENT_ID",
    "OAUTH_CLIENT_SECRET", "OAUTH_ALLOWED_SCOPES", "ENABLED", "REFRESH_INTERVAL_SECONDS", "COMMENT",
}  # fmt: skip
_VOLUME = {
    "STORAGE_LOCATIONS", "NAME", "STORAGE_PROVIDER", "STORAGE_BASE_URL", "STORAGE_ENDPOINT", "CREDENTIALS",
    "AWS_KEY_ID", "AWS_SECRET_KEY", "STORAGE_AWS_ROLE_ARN", "ALLOW_WRITES", "COMMENT",
}  # fmt: skip
_ICEBERG = {
    "EXTERNAL_VOLUME", "CATALOG", "CATALOG_NAMESPACE", "CATALOG_TABLE_NAME", "AUTO_REFRESH", "COMMENT",
    "REPLACE_INVALID_CHARACTERS",
}  # fmt: skip
_STAGE = {
    "URL", "ENDPOINT", "CREDENTIALS", "AWS_KEY_ID", "AWS_SECRET_KEY", "STORAGE_INTEGRATION", "FILE_FORMAT",
    "FORMAT_NAME", "DIRECTORY", "ENABLE", "COMMENT",
}  # fmt: skip
FILE_FORMAT = {
    "TYPE", "COMPRESSION", "SNAPPY_COMPRESSION", "BINARY_AS_TEXT", "USE_LOGICAL_TYPE", "TRIM_SPACE",
    "USE_VECTORIZED_SCANNER", "REPLACE_INVALID_CHARACTERS", "NULL_IF", "COMMENT",
}  # fmt: skip

_PRIVILEGES = {
    "USAGE", "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "OPERATE", "MONITOR", "READ", "WRITE",
    "OWNERSHIP", "ALL", "ALL PRIVILEGES", "MODIFY", "IMPORTED PRIVILEGES", "CREATE SCHEMA", "CREATE TABLE", "CREATE VIEW", "CREATE STAGE",
    "CREATE FILE FORMAT", "CREATE PIPE", "CREATE DATABASE", "CREATE WAREHOUSE", "CREATE INTEGRATION",
    "CREATE ICEBERG TABLE", "CREATE EXTERNAL VOLUME", "MONITOR EXECUTION", "EXECUTE TASK",
}  # fmt: skip
_KINDS = "DATABASE|SCHEMA|WAREHOUSE|INTEGRATION|PIPE|STAGE|TABLE|VIEW|FILE FORMAT|EXTERNAL VOLUME"
_MANY = r"TABLES|VIEWS|PIPES|STAGES|SCHEMAS|ICEBERG TABLES|FILE FORMATS"


class Objects:
    """Those objects; `exists` asks for one of fakesnow's, by kind and name."""

    def __init__(self, exists: Callable[[str, str], bool]) -> None:
        self._exists = exists
        self.roles = {"ACCOUNTADMIN", "SYSADMIN", "SECURITYADMIN", "USERADMIN", "ORGADMIN", "PUBLIC"}
        self.grants: set[tuple[str, str, str]] = set()
        self.stages: dict[str, Stage] = {}
        self._named: dict[str, dict[str, dict[str, Any]]] = {"WAREHOUSE": {}, "INTEGRATION": {}, "EXTERNAL VOLUME": {}}

    def run(self, statement: str) -> str | None:
        """Runs a statement that is of these objects, and returns its message; None: it is of something else."""
        for pattern, step in (
            (rf"CREATE\s+(OR\s+REPLACE\s+)?ROLE\s+(IF\s+NOT\s+EXISTS\s+)?({NAME})(.*)", self._create_role),
            (rf"GRANT\s+ROLE\s+({NAME})\s+TO\s+ROLE\s+({NAME})", self._grant_role),
            (r"GRANT\s+(.+?)\s+ON\s+(.+?)\s+TO\s+ROLE\s+(\S+)", self._grant),
            (
                rf"CREATE\s+(OR\s+REPLACE\s+)?(WAREHOUSE|STORAGE\s+INTEGRATION|CATALOG\s+INTEGRATION|EXTERNAL\s+VOLUME)"
                rf"\s+(IF\s+NOT\s+EXISTS\s+)?({NAME})(.*)",
                self._create_named,
            ),
            (rf"CREATE\s+(OR\s+REPLACE\s+)?ICEBERG\s+TABLE\s+(IF\s+NOT\s+EXISTS\s+)?({NAME})(.*)", self._create_iceberg),
        ):
            if match := re.fullmatch(pattern, statement, re.IGNORECASE | re.DOTALL):
                return step(*match.groups())
        if re.match(r"(GRANT|REVOKE)\b", statement, re.IGNORECASE):
            raise words.syntax_error(statement)
        return None

    def remember_stage(self, name: str, given: str) -> None:
        """Keeps where a stage is, and with which keys it is read. Raises SqlError for what is no stage."""
        option = words.options(given, _STAGE)
        url = str(option.get("URL", ""))
        if not url.startswith(("s3://", "s3compat://")):
            raise SqlError(f"SQL compilation error:\ninvalid URL prefix found in: '{url}'", "001011", "42601")
        if url.startswith("s3compat://") and "ENDPOINT" not in option:
            raise SqlError("SQL compilation error:\nmissing parameter 'ENDPOINT'.", "002029", "42601")
        integration = option.get("STORAGE_INTEGRATION")
        if integration and integration.upper() not in self._named["INTEGRATION"]:
            raise words.missing("Integration", integration)
        credentials = option.get("CREDENTIALS", {})
        self.stages[name] = Stage(
            url, option.get("ENDPOINT"), credentials.get("AWS_KEY_ID"), credentials.get("AWS_SECRET_KEY")
        )

    def _create_role(self, _replace: str | None, _exists: str | None, name: str, rest: str) -> str:
        words.options(rest, {"COMMENT"})
        self.roles.update(words.parts(name))
        return f"Role {name.upper()} successfully created."

    def _role(self, name: str) -> str:
        role = words.parts(name)
        if len(role) != 1 or role[0] not in self.roles:
            raise words.missing("Role", name)
        return role[0]

    def _grant_role(self, role: str, to: str) -> str:
        self.grants.add(("ROLE", self._role(role), self._role(to)))
        return "Statement executed successfully."

    def _grant(self, privileges: str, on: str, role: str) -> str:
        grantee = self._role(role)
        on = " ".join(on.split())
        if one := re.fullmatch(rf"({_KINDS}) ({NAME})", on, re.IGNORECASE):
            self._must_exist(one[1].upper(), one[2])
        elif many := re.fullmatch(rf"(?:ALL|FUTURE) (?:{_MANY}) IN (SCHEMA|DATABASE) ({NAME})", on, re.IGNORECASE):
            self._must_exist(many[1].upper(), many[2])
        elif on.upper() != "ACCOUNT":
            raise words.syntax_error(on)
        for privilege in privileges.split(","):
            privilege = " ".join(privilege.upper().split())
            if privilege not in _PRIVILEGES:
                raise words.syntax_error(privilege)
            self.grants.add((privilege, on.upper(), grantee))
        return "Statement executed successfully."

    def _create_iceberg(self, _replace: str | None, _exists: str | None, name: str, rest: str) -> str:
        """Checks it, and no more: its rows are in a catalog that is not read here, so it cannot be queried."""
        given = words.options(rest, _ICEBERG)
        for kind, option in (("EXTERNAL VOLUME", "EXTERNAL_VOLUME"), ("INTEGRATION", "CATALOG")):
            self._must_exist(kind, given.get(option, "NONE"))
        if not self._exists("SCHEMA", ".".join(words.parts(name)[:-1])):
            raise words.missing("Schema", name)
        return f"Table {name.upper()} successfully created."

    def _must_exist(self, kind: str, name: str) -> None:
        if kind in self._named:
            known = words.parts(name)[0] in self._named[kind]
        elif kind == "STAGE":
            known = ".".join(words.parts(name)) in self.stages
        else:
            known = self._exists(kind, name)
        if not known:
            raise words.missing(kind.capitalize(), name.upper())

    def _create_named(self, replace: str | None, kind: str, exists: str | None, name: str, rest: str) -> str:
        kind = " ".join(kind.upper().split())
        known = {
            "WAREHOUSE": _WAREHOUSE, "STORAGE INTEGRATION": _STORAGE, "CATALOG INTEGRATION": _CATALOG, "EXTERNAL VOLUME": _VOLUME,
        }[kind]  # fmt: skip
        given = words.options(re.sub(r"^\s*WITH\b", "", rest, flags=re.IGNORECASE), known)
        of_kind = self._named["INTEGRATION" if kind.endswith("INTEGRATION") else kind]
        key = words.parts(name)[0]
        if key in of_kind and not replace:
            if not exists:
                raise SqlError(f"SQL compilation error:\nObject '{key}' already exists.", "002002", "42710")
            return f"{key} already exists, statement succeeded."
        of_kind[key] = given
        return f"{kind.capitalize()} {key} successfully created."
