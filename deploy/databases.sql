-- Roles and databases of docs/production.md, 2; what is there already stays. deploy/bin/make-databases gives it the passwords.
\set ON_ERROR_STOP on
\getenv airflow_password PPS_NEW_AIRFLOW_PASSWORD
\getenv owner_password PPS_NEW_OWNER_PASSWORD
\getenv pps_password PPS_NEW_PASSWORD
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', name, password)
  FROM (VALUES ('airflow', :'airflow_password'), ('pps_owner', :'owner_password'), ('pps', :'pps_password')) AS r (name, password)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
  FROM (VALUES ('airflow', 'airflow'), ('pps', 'pps_owner')) AS d (name, owner)
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
-- Nobody else comes in.
REVOKE CONNECT, TEMPORARY ON DATABASE airflow FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE pps FROM PUBLIC;
GRANT CONNECT ON DATABASE pps TO pps;
