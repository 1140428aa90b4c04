"""Settings may be printed by anybody, for example in a traceback of a test."""

from biokeel.settings import Settings


def test_settings_do_not_show_a_credential_even_inside_a_url():
    settings = Settings(
        vault_url="postgresql://vault:credential-1@db/vault",
        schema_registry_url="https://user:credential-2@registry",
        kafka_password="credential-3",
        s3_secret_key="credential-4",
    )
    assert "credential" not in repr(settings) + str(settings)
