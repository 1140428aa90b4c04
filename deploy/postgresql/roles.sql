-- The accounts of a vault on PostgreSQL, each with no more than it needs. Run it twice:
--   as a superuser, before the tables are made:   psql -d vault -f roles.sql
--   again after each `biokeel vault migrate`:     psql -d vault -f roles.sql
-- It may be run any number of times. Give each account its password by psql's \password.
--
--   biokeel_owner   owns the database and its tables; only `biokeel vault migrate` uses it
--   biokeel_vault   pseudonymise and files workers, and the commands of `biokeel vault`
--   biokeel_books   books worker, `verify`, console: where events lie, and nothing that is sealed or names anybody

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['biokeel_owner', 'biokeel_vault', 'biokeel_books'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', role);
        END IF;
    END LOOP;
END $$;

-- In the vault's database

DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO biokeel_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO biokeel_vault, biokeel_books', current_database());
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO biokeel_owner;
GRANT USAGE ON SCHEMA public TO biokeel_vault, biokeel_books;

DO $$
BEGIN
    IF to_regclass('public.participant') IS NULL THEN
        RAISE NOTICE 'There are no tables yet: run biokeel vault migrate as biokeel_owner, then this once more.';
        RETURN;
    END IF;
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM biokeel_vault, biokeel_books;

    GRANT SELECT ON ALL TABLES IN SCHEMA public TO biokeel_vault;
    -- What was once written here is never changed: by no worker, whatever its code does.
    GRANT INSERT ON audit, decision, void, applied, spread TO biokeel_vault;
    GRANT INSERT, UPDATE ON participant, identifier, merge_mark, file_verdict, deleted_file,
        release_counter, progress, client TO biokeel_vault;
    GRANT INSERT, UPDATE, DELETE ON parked, meta, forgotten TO biokeel_vault;
    GRANT INSERT, DELETE ON dead_letter TO biokeel_vault;

    GRANT SELECT (event, source, partition, "offset", state) ON parked TO biokeel_books;
    GRANT SELECT (event, source, partition, "offset", reason) ON dead_letter TO biokeel_books;
    GRANT SELECT ON applied, void, decision, client TO biokeel_books;
END $$;
