//! The key files of the Azure Arc agent: whoever answers at its address cannot make the script send another file.

use std::{fs, os::unix::fs::symlink};

use super::{broker, server::Server};

/// Lets somebody answer the request for a token with this path.
fn challenge(server: &Server, path: &str) {
    let head = "HTTP/1.1 401 Unauthorized\r\nServer: somebody\r\n";
    server.write("challenge", &format!("{head}WWW-Authenticate: Basic realm={path}\r\n\r\n"));
}

#[tokio::test]
async fn a_key_file_in_another_place_is_not_read() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let run = server
        .run_with(broker, &["sh"], &[("ARC_KEY_DIRECTORY", "/var/opt/azcmagent/tokens")])
        .await;
    assert_eq!(run.status, Some(3), "{}", run.told);
    assert!(run.told.contains("is not below /var/opt/azcmagent/tokens"), "{}", run.told);
    assert_eq!(server.read("arguments").lines().count(), 1, "the key was shown");
}

#[tokio::test]
async fn nothing_but_a_small_plain_key_file_is_read() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let keys = server.directory.join("keys");
    fs::create_dir_all(keys.join("sub")).unwrap();
    let text = |name: &str| keys.join(name).display().to_string();
    fs::write(server.directory.join("private.key"), "private").unwrap();
    fs::write(keys.join("sub/deep.key"), "deep").unwrap();
    fs::write(keys.join("plain.txt"), "no key").unwrap();
    fs::write(keys.join("large.key"), "k".repeat(4097)).unwrap();
    fs::write(keys.join("lines.key"), "one\nheader = \"X: y\"").unwrap();
    fs::write(keys.join("empty.key"), "").unwrap();
    fs::create_dir(keys.join("directory.key")).unwrap();
    symlink(server.directory.join("private.key"), keys.join("link.key")).unwrap();
    for path in [
        text("../private.key"),
        server.directory.join("private.key").display().to_string(),
        text("sub/deep.key"),
        text("plain.txt"),
        text("large.key"),
        text("lines.key"),
        text("empty.key"),
        text("directory.key"),
        text("link.key"),
        text("absent.key"),
        text(".key"),
        text("$(id).key"),
        "relative.key".to_owned(),
    ] {
        challenge(&server, &path);
        server.write("arguments", "");
        let directory = keys.display().to_string();
        let run = server.run_with(broker, &["sh"], &[("ARC_KEY_DIRECTORY", &directory)]).await;
        assert_eq!(run.status, Some(3), "{path}: {}", run.told);
        assert_eq!(server.read("arguments").lines().count(), 1, "{path}: shown");
    }
}

#[tokio::test]
async fn an_agent_that_gives_no_token_is_told() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    server.write("challenge", "HTTP/1.1 200 OK\r\n\r\n");
    let run = server.rotate(broker).await;
    assert_eq!(run.status, Some(3), "{}", run.told);
    assert!(run.told.contains("no token from arc"), "{}", run.told);
}
