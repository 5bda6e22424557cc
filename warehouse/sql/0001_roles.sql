-- Roles, each with what its holder needs and nothing else: the loader hands files to pipes, readers query Silver and Gold,
-- auditors also see what was landed. What the roles may do is in 0003.

CREATE ROLE IF NOT EXISTS {{loader_role}} COMMENT = 'Riverbank: hands files to the pipes and reads their reports';

CREATE ROLE IF NOT EXISTS {{reader_role}} COMMENT = 'Riverbank: queries Silver and Gold';

CREATE ROLE IF NOT EXISTS {{auditor_role}} COMMENT = 'Riverbank: a reader who also sees landed rows and data quality';

GRANT ROLE {{reader_role}} TO ROLE {{auditor_role}};

GRANT ROLE {{auditor_role}} TO ROLE SYSADMIN;

GRANT ROLE {{loader_role}} TO ROLE SYSADMIN;
