//! The binary: starts azsim from a world file, leaves what clients need in a directory, runs until told to stop.

use std::{
    fs,
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::Context;
use azsim::{Azsim, Ports, World};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Azure on loopback: Key Vault secrets, managed identity and Entra ID, as their real clients see them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A world file (JSON); one tenant and the Key Vault kv-mars when absent.
    #[arg(long, env = "AZSIM_WORLD")]
    world: Option<PathBuf>,
    /// The world `dev` of the README instead of a file: Key Vault, Recovery Services vault, administrator, machines.
    #[arg(long, conflicts_with = "world")]
    dev: bool,
    /// Where ca.pem and env are written.
    #[arg(long, default_value = ".azsim")]
    directory: PathBuf,
    /// 0 lets the system choose, as for the other ports.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    #[arg(long, default_value_t = 0)]
    proxy_port: u16,
    #[arg(long, default_value_t = 0)]
    identity_port: u16,
    #[arg(long, default_value_t = 0)]
    tls_port: u16,
    #[arg(long, default_value_t = 0)]
    imds_port: u16,
    /// Agents of Azure Arc are looked for at 40342.
    #[arg(long, default_value_t = 0)]
    arc_port: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let world = match &arguments.world {
        None if arguments.dev => World::dev(),
        None => World::default(),
        Some(file) => {
            let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("in {}", file.display()))?
        }
    };
    let first_key_vault = world.key_vaults.first().map(|spec| spec.name.to_ascii_lowercase());
    let ports = Ports {
        proxy: arguments.proxy_port,
        tls: arguments.tls_port,
        control: arguments.control_port,
        identity: arguments.identity_port,
        imds: arguments.imds_port,
        arc: arguments.arc_port,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let azsim = Azsim::start_on(world, ports)?;
    fs::create_dir_all(&arguments.directory)?;
    let ca_file = fs::canonicalize(&arguments.directory)?.join("ca.pem");
    fs::write(&ca_file, azsim.ca_pem())?;
    let key_vault_uri = first_key_vault.map(|name| format!("https://{name}.vault.azure.net/"));
    let environment = [
        ("AZSIM_CA_FILE", ca_file.display().to_string()),
        ("AZSIM_PROXY", azsim.proxy_url()),
        ("AZSIM_CONTROL_URL", azsim.control_url()),
        ("IDENTITY_ENDPOINT", azsim.identity_endpoint()),
        ("IDENTITY_HEADER", azsim.identity_header().to_owned()),
        ("AZSIM_IMDS", azsim.imds_url()),
        ("AZSIM_ARC_ENDPOINT", azsim.arc_endpoint()),
        ("OIDC_ISSUER", azsim.issuer()),
        ("KEY_VAULT_URI", key_vault_uri.unwrap_or_default()),
    ];
    let lines = environment.map(|(name, value)| format!("{name}={value}\n")).concat();
    fs::write(arguments.directory.join("env"), &lines)?;
    stdout().write_all(lines.as_bytes())?;
    stdout().flush()?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
