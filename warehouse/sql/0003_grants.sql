-- What the roles may do. Grants on future objects: those that later migrations create are covered, too.

GRANT USAGE ON DATABASE {{database}} TO ROLE {{loader_role}};

GRANT USAGE ON SCHEMA {{database}}.RAW TO ROLE {{loader_role}};

GRANT OPERATE, MONITOR ON FUTURE PIPES IN SCHEMA {{database}}.RAW TO ROLE {{loader_role}};

GRANT USAGE ON WAREHOUSE {{warehouse}} TO ROLE {{reader_role}};

GRANT USAGE ON DATABASE {{database}} TO ROLE {{reader_role}};

GRANT USAGE ON SCHEMA {{database}}.SILVER TO ROLE {{reader_role}};

GRANT USAGE ON SCHEMA {{database}}.GOLD TO ROLE {{reader_role}};

GRANT SELECT ON FUTURE VIEWS IN SCHEMA {{database}}.SILVER TO ROLE {{reader_role}};

GRANT SELECT ON FUTURE VIEWS IN SCHEMA {{database}}.GOLD TO ROLE {{reader_role}};

GRANT USAGE ON SCHEMA {{database}}.RAW TO ROLE {{auditor_role}};

GRANT USAGE ON SCHEMA {{database}}.OPS TO ROLE {{auditor_role}};

GRANT SELECT ON FUTURE TABLES IN SCHEMA {{database}}.RAW TO ROLE {{auditor_role}};

GRANT SELECT ON FUTURE TABLES IN SCHEMA {{database}}.OPS TO ROLE {{auditor_role}};

GRANT SELECT ON FUTURE VIEWS IN SCHEMA {{database}}.OPS TO ROLE {{auditor_role}};
