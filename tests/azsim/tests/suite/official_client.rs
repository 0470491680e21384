//! `azure_security_keyvault_secrets`, unmodified, with challenge verification on.

use std::{collections::HashMap, env, process::Command, sync::Arc};

use anyhow::{Context, ensure};
use azsim::Grant;
use azure_core::{credentials::TokenCredential, http::StatusCode};
use azure_identity::ManagedIdentityCredential;
use azure_security_keyvault_secrets::{
    ResourceExt, SecretClient,
    models::{
        RestoreSecretParameters, SecretAttributes, SecretClientGetSecretOptions,
        SecretClientListSecretPropertiesVersionsOptions, SetSecretParameters,
        UpdateSecretPropertiesParameters,
    },
};
use futures_util::TryStreamExt;

use crate::harness::{Room, azsim};

const NAME: &str = "AzBackup-srv01-rsv01";

async fn set(client: &SecretClient, name: &str, value: &str) -> anyhow::Result<String> {
    let parameters = SetSecretParameters { value: Some(value.to_owned()), ..Default::default() };
    let secret = client.set_secret(name, parameters.try_into()?, None).await?.into_model()?;
    secret.resource_id()?.version.context("version")
}

async fn get(client: &SecretClient, name: &str, version: Option<&str>) -> anyhow::Result<String> {
    let options = SecretClientGetSecretOptions {
        secret_version: version.map(str::to_owned),
        ..Default::default()
    };
    let secret = client.get_secret(name, Some(options)).await?.into_model()?;
    secret.value.context("value")
}

fn status(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<azure_core::Error>()?.http_status()
}

#[tokio::test]
async fn it_reads_what_it_wrote_latest_and_by_version() -> anyhow::Result<()> {
    let client = Room::new()?.client()?;
    let first = set(&client, NAME, "one").await?;
    set(&client, NAME, "two").await?;
    assert_eq!(get(&client, NAME, None).await?, "two");
    assert_eq!(get(&client, NAME, Some(&first)).await?, "one");
    assert_eq!(get(&client, &NAME.to_uppercase(), None).await?, "two");
    Ok(())
}

#[tokio::test]
async fn it_pages_through_versions_ordered_by_id() -> anyhow::Result<()> {
    let room = Room::new()?;
    let client = room.client()?;
    for number in 0..60 {
        azsim().put_secret(&room.name, azsim::SecretSpec::new(NAME, number.to_string()))?;
    }
    let versions: Vec<_> =
        client.list_secret_properties_versions(NAME, None)?.try_collect().await?;
    let ids: Vec<_> = versions.iter().filter_map(|version| version.id.clone()).collect();
    assert_eq!(ids.len(), 60);
    assert!(ids.is_sorted());
    Ok(())
}

#[tokio::test]
async fn it_pages_through_secrets_past_empty_pages() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.settings.empty_pages = true)?;
    for number in 0..27 {
        azsim().put_secret(&room.name, azsim::SecretSpec::new(format!("s{number:02}"), ""))?;
    }
    let secrets: Vec<_> = room.client()?.list_secret_properties(None)?.try_collect().await?;
    assert_eq!(secrets.len(), 27);
    let options = SecretClientListSecretPropertiesVersionsOptions {
        maxresults: Some(1),
        ..Default::default()
    };
    let versions = room.client()?.list_secret_properties_versions("s00", Some(options))?;
    assert_eq!(versions.try_collect::<Vec<_>>().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn it_updates_tags_and_disables_a_version() -> anyhow::Result<()> {
    let client = Room::new()?.client()?;
    set(&client, NAME, "one").await?;
    let parameters = UpdateSecretPropertiesParameters {
        tags: Some(HashMap::from([("rotation".to_owned(), "r1".to_owned())])),
        secret_attributes: Some(SecretAttributes { enabled: Some(false), ..Default::default() }),
        ..Default::default()
    };
    let updated =
        client.update_secret_properties(NAME, parameters.try_into()?, None).await?.into_model()?;
    assert_eq!(updated.tags.context("tags")?["rotation"], "r1");
    let error = get(&client, NAME, None).await.err().context("a disabled secret was read")?;
    assert_eq!(status(&error), Some(StatusCode::Forbidden));
    Ok(())
}

#[tokio::test]
async fn it_deletes_recovers_and_purges() -> anyhow::Result<()> {
    let client = Room::open()?.client()?;
    set(&client, NAME, "one").await?;
    let deleted = client.delete_secret(NAME, None).await?.into_model()?;
    ensure!(deleted.recovery_id.is_some() && deleted.scheduled_purge_date.is_some());
    let all: Vec<_> = client.list_deleted_secret_properties(None)?.try_collect().await?;
    assert_eq!(all.len(), 1);
    client.get_deleted_secret(NAME, None).await?;
    client.recover_deleted_secret(NAME, None).await?;
    assert_eq!(get(&client, NAME, None).await?, "one");
    client.delete_secret(NAME, None).await?;
    client.purge_deleted_secret(NAME, None).await?;
    let error = client.get_deleted_secret(NAME, None).await.err().context("purged, yet there")?;
    assert_eq!(error.http_status(), Some(StatusCode::NotFound));
    Ok(())
}

#[tokio::test]
async fn it_restores_a_backup_with_every_version() -> anyhow::Result<()> {
    let client = Room::open()?.client()?;
    let first = set(&client, NAME, "one").await?;
    set(&client, NAME, "two").await?;
    let blob = client.backup_secret(NAME, None).await?.into_model()?.value;
    client.delete_secret(NAME, None).await?;
    client.purge_deleted_secret(NAME, None).await?;
    let parameters = RestoreSecretParameters { secret_backup: blob };
    client.restore_secret(parameters.try_into()?, None).await?;
    assert_eq!(get(&client, NAME, Some(&first)).await?, "one");
    assert_eq!(get(&client, NAME, None).await?, "two");
    Ok(())
}

#[tokio::test]
async fn it_is_refused_what_no_role_allows() -> anyhow::Result<()> {
    let room = Room::with(|spec| spec.grants = vec![Grant::to("somebody-else", &["*"])])?;
    let error = set(&room.client()?, NAME, "one").await.err().context("written without a role")?;
    assert_eq!(status(&error), Some(StatusCode::Forbidden));
    assert_eq!(azsim().secret(&room.name, NAME)?.map(|secret| secret.name), None);
    Ok(())
}

/// The credential reads its address from the environment of its process, so this test runs itself again in a child.
#[test]
fn the_real_managed_identity_credential_gets_a_token() -> anyhow::Result<()> {
    if env::var_os("IDENTITY_ENDPOINT").is_none() {
        let child = Command::new(env::current_exe()?)
            .args(["--exact", "official_client::the_real_managed_identity_credential_gets_a_token"])
            .env("IDENTITY_ENDPOINT", azsim().identity_endpoint())
            .env("IDENTITY_HEADER", azsim().identity_header())
            .output()?;
        ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return Ok(());
    }
    let credential: Arc<dyn TokenCredential> = ManagedIdentityCredential::new(None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let token =
        runtime.block_on(credential.get_token(&["https://vault.azure.net/.default"], None))?;
    assert_eq!(token.token.secret().split('.').count(), 3);
    Ok(())
}
