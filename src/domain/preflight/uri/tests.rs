//! What people paste, and what they are told.

use super::*;

const MEANT: &str = "https://kv-mars.vault.azure.net/";

/// What was pasted; a part of what it is called; what to paste.
const PASTED: &[(&str, &str, Option<&str>)] = &[
    ("", "nothing", None),
    (" \t\r\n", "nothing", None),
    (" https://kv-mars.vault.azure.net/ ", "around it", Some(MEANT)),
    ("https://kv-mars.vault.azure.net/\n", "around it", Some(MEANT)),
    ("\u{feff}https://kv-mars.vault.azure.net/", "around it", Some(MEANT)),
    ("\u{201c}https://kv-mars.vault.azure.net/\u{201d}", "around it", Some(MEANT)),
    ("\"https://kv-mars.vault.azure.net/\",", "around it", Some(MEANT)),
    ("<https://kv-mars.vault.azure.net>", "around it", Some(MEANT)),
    ("https://kv-mars .vault.azure.net/", "in it", Some(MEANT)),
    ("https://kv-\u{200b}mars.vault.azure.net/", "in it", Some(MEANT)),
    (
        "https://portal.azure.com/#@contoso.com/resource/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-mars/overview",
        "portal",
        Some(MEANT),
    ),
    (
        "https://portal.azure.com/#blade/x/id/%2Fsubscriptions%2Fs%2Fproviders%2FMicrosoft.KeyVault%2Fvaults%2Fkv-mars/y",
        "portal",
        Some(MEANT),
    ),
    ("https://portal.azure.com/#home", "portal", None),
    (
        "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/KV-Mars",
        "resource id",
        Some(MEANT),
    ),
    (
        "https://management.azure.com/subscriptions/s/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv",
        "resource id",
        None,
    ),
    ("kv-mars", "no URI", None),
    ("kv-mars.vault.azure.net", "without https://", Some(MEANT)),
    ("kv-mars.vault.azure.net/secrets/x", "without https://", Some(MEANT)),
    ("http://kv-mars.vault.azure.net/", "https://", Some(MEANT)),
    ("ftp://kv-mars.vault.azure.net/", "https://", Some(MEANT)),
    ("https://kv-mars.vault.azure.net:443/", "port", Some(MEANT)),
    ("https://kv-mars.vault.azure.net:8443/", "port", Some(MEANT)),
    ("https://kv-mars.vault.azure.net//", "path", Some(MEANT)),
    ("https://kv-mars.vault.azure.net/secrets", "path", Some(MEANT)),
    (
        "https://kv-mars.vault.azure.net/secrets/AzBackup-srv01-rsv",
        "identifier of a secret",
        Some(MEANT),
    ),
    (
        "https://kv-mars.vault.azure.net/secrets/AzBackup-srv01-rsv/0d33f3ea76c04441b77aa9113da02333",
        "identifier of a secret",
        Some(MEANT),
    ),
    ("https://kv-mars.vault.azure.net/keys/k/1", "identifier of a key", Some(MEANT)),
    ("https://kv-mars.vault.azure.net/certificates/c", "identifier of a certificate", Some(MEANT)),
    ("https://kv-mars.vault.azure.net/deletedsecrets/x", "deleted secret", Some(MEANT)),
    ("https://kv-mars.vault.azure.net/?api-version=7.4", "query", Some(MEANT)),
    ("https://kv-mars.vault.azure.net/#x", "fragment", Some(MEANT)),
    ("https://kv-mars.vault.azure.net./", "dot at its end", Some(MEANT)),
    ("https://me@kv-mars.vault.azure.net/", "user name", Some(MEANT)),
    ("https:\\\\kv-mars.vault.azure.net\\", "backslashes", Some(MEANT)),
    ("https://kv-mars.vault.azure.net@evil.example/", "another host", None),
    ("https://kv-mars.vault.azure.net.evil.example/", "another host", None),
    ("https://kv-mars.vault.azuer.net/", "another host", None),
    ("https://vault.azure.net/", "another host", None),
    ("https://kvmars.blob.core.windows.net/", "another host", None),
    ("https://kv-mars.managedhsm.azure.net/", "Managed HSM", None),
    ("https://kv-mars.privatelink.vaultcore.azure.net/", "private endpoint", Some(MEANT)),
    ("https://kv-mars.vaultcore.azure.net/", "private endpoint", Some(MEANT)),
    ("https://kv-mars.vault.azure.cn/", "21Vianet", None),
    ("https://kv-mars.vault.usgovcloudapi.net/", "Government", None),
    ("https://kv-mars.vault.microsoftazure.de/", "Germany", None),
    ("https://kv-mars.vault.azure.cn/secrets/x", "21Vianet", None),
    ("https://kv-m\u{e4}rs.vault.azure.net/", "punycode", None),
    ("https://xn--kv-mrs-cua.vault.azure.net/", "punycode", None),
    ("https://kv-mars.v\u{430}ult.azure.net/", "punycode", None),
    ("https://10.0.0.4/", "IP address", None),
    ("https://[::1]/", "IP address", None),
    ("https://kv/", "another host", None),
    ("https://kv--mars.vault.azure.net/", "Key Vault name", None),
    ("https://1kv.vault.azure.net/", "Key Vault name", None),
    ("https://a.b.vault.azure.net/", "Key Vault name", None),
    ("https://kv_mars.vault.azure.net/", "Key Vault name", None),
    ("https://https://kv-mars.vault.azure.net/", "", None),
    ("file:///etc/passwd", "", None),
    ("javascript://alert(1)", "", None),
];

#[test]
fn what_was_pasted_is_named_with_what_to_paste() {
    for (text, what, paste) in PASTED {
        let pasted = diagnose(text).expect_err(text);
        assert!(pasted.what.contains(what), "{text}: {}", pasted.what);
        assert_eq!(pasted.paste.as_deref(), *paste, "{text}");
    }
}

#[test]
fn what_is_right_is_right_in_any_case_and_without_the_final_slash() {
    for text in [MEANT, "https://kv-mars.vault.azure.net", "HTTPS://KV-Mars.Vault.Azure.Net/"] {
        assert_eq!(diagnose(text).unwrap().as_str(), MEANT);
    }
}

#[test]
fn a_passphrase_in_its_place_is_not_repeated() {
    for text in ["correcthorsebattery12", "correct-horse-battery", "hgjf6-kk2kd-x9fhw-rr3f5"] {
        let pasted = diagnose(text).unwrap_err();
        assert!(!format!("{pasted:?}").contains(text), "{pasted:?}");
    }
}
