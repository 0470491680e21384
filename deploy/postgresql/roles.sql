-- Once per server, as its administrator (no superuser is needed):
--   psql -v ON_ERROR_STOP=1 -f deploy/postgresql/roles.sql 'host=... user=... dbname=postgres sslmode=verify-full'
-- then give both roles a password, which psql sends hashed:
--   \password passphrase_broker_owner
--   \password passphrase_broker
-- Azure Database for PostgreSQL: allow the extension first, with the server parameter azure.extensions = PG_TRGM.

-- Owns the database and its tables; only migrations log in as it. `createrole`: they set the service's time limits.
create role passphrase_broker_owner login createrole;
-- The service. It owns nothing; migrations grant it what it needs, table by table.
create role passphrase_broker login;
grant passphrase_broker to passphrase_broker_owner with admin option;
-- For people who take old partitions of the audit log to the archive: grant it to them.
create role passphrase_broker_archivist;

-- An administrator who is no superuser gives a database only to a role that is also its own.
grant passphrase_broker_owner to current_user;
create database passphrase_broker owner passphrase_broker_owner encoding 'UTF8' template template0;
revoke all on database passphrase_broker from public;
grant connect on database passphrase_broker to passphrase_broker;
