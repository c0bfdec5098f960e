-- A database and a user for each service; run at every sync, changes nothing that is as it should be.
-- Passwords come as psql variables. What both APIs keep (approvals and the audit) belongs to `access_owner`, so that
-- either may upgrade the tables. The console keeps sessions alone, where it can read nothing else.
\set ON_ERROR_STOP on
SELECT 'CREATE ROLE access_owner NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'access_owner') \gexec
SELECT format('CREATE ROLE %I LOGIN', name) FROM (VALUES ('journeyapi'), ('identityapi'), ('keycloak'), ('console')) AS wanted (name)
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE journeyapi PASSWORD :'journeyapi_password';
ALTER ROLE identityapi PASSWORD :'identityapi_password';
ALTER ROLE keycloak PASSWORD :'keycloak_password';
ALTER ROLE console PASSWORD :'console_password';
GRANT access_owner TO journeyapi, identityapi;
SELECT format('CREATE DATABASE %I OWNER %I ENCODING ''UTF8'' LOCALE ''C'' TEMPLATE template0', name, owner)
  FROM (VALUES ('journeys', 'journeyapi'), ('access', 'access_owner'), ('keycloak', 'keycloak'), ('console', 'console'))
    AS wanted (name, owner)
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE journeys, access, keycloak, console FROM PUBLIC;
ALTER ROLE journeyapi IN DATABASE access SET ROLE access_owner;
ALTER ROLE identityapi IN DATABASE access SET ROLE access_owner;
\connect access
ALTER SCHEMA public OWNER TO access_owner;
