//! 100272: what people paste instead of a Key Vault URI, and what to paste.
//!
//! The text itself is never repeated, for it may be anything, a passphrase too. What is suggested is made
//! of a name that was found in a place where only a Key Vault's name stands.

use url::{Host, Url};

use super::{
    Check,
    facts::Facts,
    remedies::{self, Names},
};
use crate::domain::key_vault_id::KeyVaultUri;

const PUBLIC: &str = ".vault.azure.net";
const OTHER_CLOUDS: [(&str, &str); 3] = [
    (".vault.azure.cn", "Azure operated by 21Vianet"),
    (".vault.usgovcloudapi.net", "Azure Government"),
    (".vault.microsoftazure.de", "Azure Germany"),
];

/// Something else than a Key Vault URI of the public cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pasted {
    what: String,
    /// The URI that was probably meant.
    paste: Option<String>,
}

impl Pasted {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), paste: None }
    }

    fn instead(self, host: &str) -> Self {
        let uri = KeyVaultUri::parse(&format!("https://{host}/")).ok();
        Self { paste: uri.filter(is_public).map(|uri| uri.to_string()), ..self }
    }
}

/// PF-01.
pub(super) fn format(facts: &Facts) -> Check {
    let check = Check::new("PF-01", "Key Vault URI").mars("100272");
    match diagnose(&facts.subject.key_vault_uri) {
        Ok(uri) => check.pass("It is a Key Vault URI.").with(format!("the URI is {uri}"), None),
        Err(pasted) => {
            let advice = match &pasted.paste {
                Some(uri) => format!("paste {uri}"),
                None => {
                    "paste the Key Vault's \"Vault URI\", https://<name>.vault.azure.net/".into()
                }
            };
            let cause =
                format!("What was given is {}. MARS would refuse it; {advice}.", pasted.what);
            check.fail(cause).mend(remedies::show_uri(&meant(facts, &pasted)))
        }
    }
}

/// The Key Vault that was probably meant, by its name.
fn meant(facts: &Facts, pasted: &Pasted) -> Names {
    let names = Names::of(facts);
    let uri = pasted.paste.as_deref().and_then(|uri| KeyVaultUri::parse(uri).ok());
    match (&names.key_vault, uri) {
        (None, Some(uri)) => Names::of_key_vault(uri.name()),
        _ => names,
    }
}

/// PF-02.
pub(super) fn cloud(facts: &Facts) -> Check {
    let check = Check::new("PF-02", "Public cloud");
    let Some(host) = host_of(&facts.subject.key_vault_uri) else {
        return check.skipped("The URI names no host; see PF-01.");
    };
    match other_cloud(&host) {
        Some(cloud) => check.fail(format!(
            "The Key Vault is in {cloud}. MARS saves passphrases in public Azure regions only: use a Key \
             Vault whose URI ends with {PUBLIC}/."
        )),
        None if host.ends_with(PUBLIC) => check.pass("The Key Vault is in Azure's public cloud."),
        None => check.skipped("The host is no Key Vault's; see PF-01."),
    }
}

fn is_public(uri: &KeyVaultUri) -> bool {
    uri.host().ends_with(PUBLIC)
}

fn other_cloud(host: &str) -> Option<&'static str> {
    OTHER_CLOUDS.iter().find(|(suffix, _)| host.ends_with(suffix)).map(|(_, cloud)| *cloud)
}

fn host_of(text: &str) -> Option<String> {
    Some(Url::parse(text.trim()).ok()?.host_str()?.trim_end_matches('.').to_owned())
}

/// The URI, or what it is instead.
pub(super) fn diagnose(text: &str) -> Result<KeyVaultUri, Pasted> {
    if let Ok(uri) = KeyVaultUri::parse(text) {
        return match other_cloud(uri.host()) {
            None => Ok(uri),
            Some(cloud) => Err(Pasted::new(format!("the URI of a Key Vault in {cloud}"))),
        };
    }
    let invisible = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}".contains(c)
    };
    let around = |c: char| invisible(c) || "\"'`<>(),;\u{201c}\u{201d}\u{2018}\u{2019}".contains(c);
    let tidy = text.trim_matches(around);
    if tidy.is_empty() {
        return Err(Pasted::new("nothing"));
    }
    if let Ok(uri) = KeyVaultUri::parse(tidy).map_err(drop)
        && is_public(&uri)
    {
        return Err(Pasted::new("the URI with blanks, quotes or other characters around it")
            .instead(uri.host()));
    }
    if tidy.chars().any(invisible) {
        let without: String = tidy.chars().filter(|c| !invisible(*c)).collect();
        let pasted = Pasted::new("a text with blanks or invisible characters in it");
        return Err(match KeyVaultUri::parse(&without) {
            Ok(uri) => pasted.instead(uri.host()),
            Err(_) => pasted,
        });
    }
    Err(other_than_uri(tidy))
}

fn other_than_uri(text: &str) -> Pasted {
    if text.contains('\\') {
        let slashes = text.replace('\\', "/");
        let pasted = Pasted::new("a URI with backslashes");
        return match KeyVaultUri::parse(&slashes) {
            Ok(uri) => pasted.instead(uri.host()),
            Err(_) => pasted,
        };
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains("portal.azure.") {
        return by_name(Pasted::new("the address of a page of the Azure portal"), &lower);
    }
    if lower.starts_with("/subscriptions/") || lower.contains("management.azure.com/") {
        return by_name(Pasted::new("the resource id of something in Azure"), &lower);
    }
    if !lower.contains("://") {
        return without_scheme(&lower);
    }
    match Url::parse(text) {
        Ok(url) => of_url(&url, text),
        Err(_) => Pasted::new("a text that is no URI at all"),
    }
}

/// `.../Microsoft.KeyVault/vaults/<name>/...`, as in resource ids and the portal's addresses.
fn by_name(pasted: Pasted, lower: &str) -> Pasted {
    let decoded = lower.replace("%2f", "/");
    let Some((_, rest)) = decoded.split_once("microsoft.keyvault/vaults/") else { return pasted };
    let name = rest.split(['/', '?', '#', '&']).next().unwrap_or_default();
    pasted.instead(&format!("{name}{PUBLIC}"))
}

fn without_scheme(lower: &str) -> Pasted {
    let host = lower.split('/').next().unwrap_or_default();
    if host.contains(PUBLIC) {
        return Pasted::new("a host name without https:// before it").instead(host);
    }
    // Not repeated: a name looks like a passphrase.
    Pasted::new(format!(
        "no URI (if it is the Key Vault's name, write https:// before it and {PUBLIC}/ behind it)"
    ))
}

fn of_url(url: &Url, text: &str) -> Pasted {
    let host = match url.host() {
        Some(Host::Domain(host)) => host,
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => {
            return Pasted::new("an IP address; a Key Vault is called by its host name");
        }
        None => return Pasted::new("a URI without a host"),
    };
    if !text.is_ascii() || host.split('.').any(|label| label.starts_with("xn--")) {
        return Pasted::new(
            "a host name with letters outside a-z, or their punycode: it may only look like the right one",
        );
    }
    if let Some(cloud) = other_cloud(host.trim_end_matches('.')) {
        return Pasted::new(format!("something of a Key Vault in {cloud}"));
    }
    if host.contains(".managedhsm.") {
        return Pasted::new(
            "the URI of a Managed HSM, which has no secrets; MARS needs a Key Vault",
        );
    }
    let private = [".privatelink.vaultcore.azure.net", ".vaultcore.azure.net"];
    if let Some(name) = private.iter().find_map(|suffix| host.strip_suffix(suffix)) {
        return Pasted::new("the host name of a private endpoint")
            .instead(&format!("{name}{PUBLIC}"));
    }
    let of_key_vault = host.trim_end_matches('.').strip_suffix(PUBLIC);
    let Some(name) = of_key_vault else {
        return Pasted::new(format!(
            "the address of another host than a Key Vault's (its host does not end with {PUBLIC})"
        ));
    };
    let meant = format!("{name}{PUBLIC}");
    if KeyVaultUri::parse(&format!("https://{meant}/")).is_err() {
        return Pasted::new(
            "no possible Key Vault name before the suffix (3 to 24 letters, digits and single hyphens, first a letter)",
        );
    }
    Pasted::new(surplus(url, host)).instead(&meant)
}

/// What there is besides `https://<host>/`.
fn surplus(url: &Url, host: &str) -> &'static str {
    if url.scheme() != "https" {
        return "a URI that does not begin with https://";
    }
    if !url.username().is_empty() || url.password().is_some() {
        return "a URI with a user name before the host";
    }
    if host.ends_with('.') {
        return "a host name with a dot at its end";
    }
    let mut path = url.path_segments().into_iter().flatten();
    match (path.next().unwrap_or_default(), path.next()) {
        ("secrets", Some(name)) if !name.is_empty() => return "the identifier of a secret",
        ("keys", Some(name)) if !name.is_empty() => return "the identifier of a key",
        ("certificates", Some(name)) if !name.is_empty() => {
            return "the identifier of a certificate";
        }
        ("deletedsecrets", _) => return "the recovery id of a deleted secret",
        ("", None) => {}
        _ => return "a URI with a path behind the host",
    }
    if url.query().is_some() {
        return "a URI with a query behind the host";
    }
    if url.fragment().is_some() {
        return "a URI with a fragment behind the host";
    }
    // The parser leaves the standard port out, so that is the last thing it can be.
    "a URI with a port, backslashes or a path behind the host"
}

#[cfg(test)]
#[path = "uri/tests.rs"]
mod tests;
