//! Calls of the broker, shown as a person would type them, with what it answers.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::{say, world::Token};

pub(crate) struct Calls {
    /// What `$NAME` in a path stands for.
    pub variables: BTreeMap<&'static str, String>,
    client: reqwest::Client,
}

/// An answer in JSON.
#[derive(Debug)]
pub(crate) struct Answer(Value);

impl Calls {
    pub(crate) fn new(url: &str, tokens: &[Token]) -> anyhow::Result<Self> {
        let tokens = tokens.iter().map(|token| (token.variable, token.value.clone()));
        let variables = tokens.chain([("BROKER_URL", url.to_owned())]).collect();
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
        Ok(Self { variables, client })
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> anyhow::Result<Answer> {
        self.call(token, Method::GET, path, None, 200).await
    }

    pub(crate) async fn post(
        &self,
        token: &str,
        path: &str,
        body: &str,
        status: u16,
    ) -> anyhow::Result<Answer> {
        self.call(token, Method::POST, path, Some(body), status).await
    }

    /// Shows the line only; the caller shows what matters of the answer.
    pub(crate) async fn get_unseen(&self, token: &str, path: &str) -> anyhow::Result<Answer> {
        say(format!("\n$ {}", curl(token, path, None)));
        let (status, text) = self.send(token, Method::GET, path, None).await?;
        Answer::parse(status, 200, &text)
    }

    /// Asks for text, and shows it as it comes.
    pub(crate) async fn post_for_text(
        &self,
        token: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<String> {
        say(format!("\n$ {}", curl_for_text(token, path, body)));
        let request = self.request(token, Method::POST, path, Some(body));
        let (status, text) = answered(request.header("accept", "text/plain")).await?;
        say(format!("HTTP {status}\n{text}"));
        ensure!(status == 200, "that should have been 200 and not {status}");
        Ok(text)
    }

    /// Asks for text, shows it, and keeps it in a file.
    pub(crate) async fn get_into(
        &self,
        token: &str,
        path: &str,
        file: &Path,
    ) -> anyhow::Result<()> {
        say(format!("\n$ {} > {}", curl(token, path, None), file.display()));
        let (status, text) = self.send(token, Method::GET, path, None).await?;
        say(format!("HTTP {status}\n{}", text.trim_end()));
        ensure!(status == 200, "that should have been 200 and not {status}");
        std::fs::write(file, text).with_context(|| file.display().to_string())
    }

    async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&str>,
        expected: u16,
    ) -> anyhow::Result<Answer> {
        say(format!("\n$ {}", curl(token, path, body)));
        let (status, text) = self.send(token, method, path, body).await?;
        say(format!("HTTP {status}\n{}", indented(&text)));
        Answer::parse(status, expected, &text)
    }

    async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> anyhow::Result<(StatusCode, String)> {
        answered(self.request(token, method, path, body)).await
    }

    fn request(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> RequestBuilder {
        let url = self.filled_in(&format!("$BROKER_URL{path}"));
        let request =
            self.client.request(method, url).bearer_auth(self.filled_in(&format!("${token}")));
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
            None => request,
        }
    }

    fn filled_in(&self, text: &str) -> String {
        let fill = |text: String, (name, value): (&&str, &String)| {
            text.replace(&format!("${name}"), value)
        };
        self.variables.iter().fold(text.to_owned(), fill)
    }
}

async fn answered(request: RequestBuilder) -> anyhow::Result<(StatusCode, String)> {
    let answer = request.send().await.context("the broker does not answer")?;
    let status = answer.status();
    Ok((status, answer.text().await.context("the answer broke off")?))
}

impl Answer {
    fn parse(status: StatusCode, expected: u16, text: &str) -> anyhow::Result<Self> {
        ensure!(status == expected, "that should have been {expected} and not {status}: {text}");
        Ok(Self(serde_json::from_str(text).context("the answer is no JSON")?))
    }

    /// A text, by its JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> anyhow::Result<&str> {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        text.with_context(|| format!("the answer has no text {pointer}"))
    }

    pub(crate) fn items(&self) -> anyhow::Result<&Vec<Value>> {
        self.0["items"].as_array().context("the answer has no items")
    }

    pub(crate) fn has(&self, pointer: &str, expected: &Value) -> anyhow::Result<()> {
        let found = self.0.pointer(pointer);
        ensure!(found == Some(expected), "{pointer} should be {expected}");
        Ok(())
    }
}

/// A line to paste into a shell that has sourced `.dev/env`.
pub(crate) fn curl(token: &str, path: &str, body: Option<&str>) -> String {
    let line = format!("curl -sS \"$BROKER_URL{path}\" -H \"Authorization: Bearer ${token}\"");
    let Some(body) = body else { return line };
    let body = body.replace('\n', "\n       ");
    format!("{line} \\\n  -H 'Content-Type: application/json' -d '{body}'")
}

pub(crate) fn curl_for_text(token: &str, path: &str, body: &str) -> String {
    curl(token, path, Some(body)).replacen(" \\\n", " -H 'Accept: text/plain' \\\n", 1)
}

/// JSON with a line for each member, in the order in which it came.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut in_text, mut escaped) = (String::new(), 0_usize, false, false);
    let mut characters = json.trim().chars().peekable();
    while let Some(character) = characters.next() {
        if in_text {
            out.push(character);
            in_text = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            '{' | '[' if characters.peek().is_some_and(|next| matches!(next, '}' | ']')) => {
                out.push(character);
                out.extend(characters.next());
            }
            '{' | '[' => {
                depth += 1;
                out.push(character);
                new_line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_text = character == '"';
                out.push(character);
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}
