//! The OpenAPI document: the committed copy, what the binary prints, what it serves and what the router
//! does are one thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Broker};

pub fn printed() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_passphrase-broker")).arg("openapi").output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

/// Method, path and description of each operation.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            found.push((method, path.clone(), operation.clone()));
        }
    }
    found
}

#[tokio::test]
async fn the_committed_copy_is_what_the_binary_prints_and_serves() {
    let committed = std::fs::read_to_string("openapi/openapi.json").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_passphrase-broker")).arg("openapi").output();
    assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), committed);
    let served = Broker::shared().await.nobody().get("/openapi.json").await;
    assert_eq!(served.status, 200);
    assert_eq!(served.body, serde_json::from_str::<Value>(&committed).unwrap());
}

#[tokio::test]
async fn every_operation_of_the_document_is_a_route() {
    let broker = Broker::shared().await;
    let nobody = broker.nobody();
    for (method, path, operation) in operations(&printed()) {
        let real = path.replace("{code}", "internal").replace(['{', '}'], "0");
        let answer = Answer::of(nobody.request(method.clone(), &real)).await;
        let expected = if operation.get("security").is_some() { 401 } else { 200 };
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn every_other_method_of_a_path_is_405_with_allow() {
    let broker = Broker::shared().await;
    let document = printed();
    for (path, item) in document["paths"].as_object().unwrap() {
        let real = path.replace("{code}", "internal").replace(['{', '}'], "0");
        let known: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"] {
            if known.contains(method) {
                continue;
            }
            let answer = Answer::of(broker.portal().request(method.parse().unwrap(), &real)).await;
            assert_eq!(answer.problem(), (405, "method-not-allowed"), "{method} {path}");
            let allow: BTreeSet<String> =
                answer.header("allow").split(',').map(|method| method.trim().to_owned()).collect();
            assert!(known.is_subset(&allow), "{path}: {allow:?}");
            let beyond: Vec<_> =
                allow.difference(&known).filter(|method| *method != "HEAD").collect();
            assert!(beyond.is_empty(), "{path}: {beyond:?} are routes that the document lacks");
        }
    }
}

#[tokio::test]
async fn every_route_of_the_source_is_in_the_document() {
    let source = std::fs::read_to_string("src/http/mod.rs").unwrap();
    // `.routes(routes!(a::b, a::c))`: what is listed there becomes router and document at once.
    let listed = source
        .lines()
        .filter(|line| line.contains(".routes(routes!("))
        .map(|line| line.matches("::").count())
        .sum::<usize>();
    assert_eq!(operations(&printed()).len(), listed);
    let elsewhere = source.lines().filter(|line| line.contains(".route(")).count();
    assert_eq!(elsewhere, 0, "a route that the document cannot know");
}

#[tokio::test]
async fn every_v1_operation_is_one_that_the_service_knows_by_that_id() {
    let known: BTreeSet<String> = passphrase_broker::domain::operation::Operation::ALL
        .into_iter()
        .map(|operation| operation.id().to_owned())
        .collect();
    let described: BTreeSet<String> = operations(&printed())
        .into_iter()
        .filter(|(_, path, _)| path.starts_with("/v1/"))
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(described, known);
}

#[tokio::test]
async fn every_operation_and_response_says_what_it_is() {
    for (method, path, operation) in operations(&printed()) {
        let label = format!("{method} {path}");
        assert!(operation["operationId"].as_str().is_some_and(|id| !id.is_empty()), "{label}");
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{label}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{label}");
        for (status, response) in responses {
            let text = response["description"].as_str().unwrap_or_default();
            assert!(text.len() > 3, "{label} {status}");
            // A report that `failOn` turned into an error is still a report.
            let report = path.ends_with("/preflight") && status == "424";
            let problem = status.starts_with(['4', '5']) && path != "/readyz" && !report;
            assert_eq!(
                response["content"].get("application/problem+json").is_some(),
                problem,
                "{label} {status}"
            );
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let of_path = parameter["in"] == "path";
            assert!(!of_path || path.contains(parameter["name"].as_str().unwrap()), "{label}");
        }
    }
}

/// Schemas are kept by their name: of two types that share one, the later would be told for both.
#[tokio::test]
async fn every_type_of_the_document_has_a_name_of_its_own() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust_files(Path::new("src")) {
        for name in schema_names(&std::fs::read_to_string(&file).unwrap()) {
            files.entry(name).or_default().push(file.display().to_string());
        }
    }
    let document = printed();
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let of = files.get(name).unwrap_or_else(|| panic!("nothing in src is called {name}"));
        assert_eq!(of.len(), 1, "{name}");
    }
    let shared: Vec<_> = files.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let of_entry = |path: PathBuf| if path.is_dir() { rust_files(&path) } else { vec![path] };
    entries.flat_map(of_entry).collect()
}

/// Of each type that derives `ToSchema`: its own name, or what `schema(as = ...)` says.
fn schema_names(source: &str) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let derives = source.split("#[derive(").skip(1).filter(|rest| {
        let (derived, _) = rest.split_once(")]").unwrap();
        words(derived).iter().any(|word| word == "ToSchema")
    });
    let name = |rest: &str| {
        let words = words(rest);
        let item = words.iter().position(|word| word == "struct" || word == "enum").unwrap();
        let attributes = &words[..item];
        let renamed = attributes.windows(2).find(|pair| pair[0] == "as").map(|pair| &pair[1]);
        renamed.unwrap_or(&words[item + 1]).clone()
    };
    derives.map(name).collect()
}

/// What a request of these does to a passphrase is to show it: there is nothing to do only once.
#[tokio::test]
async fn every_post_that_writes_takes_a_key() {
    let reads = ["retrieve_passphrase", "scan_adoptions", "run_preflight", "run_machine_preflight"];
    for (method, path, operation) in operations(&printed()) {
        let id = operation["operationId"].as_str().unwrap();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let takes_key = parameters.into_iter().any(|it| it["name"] == "Idempotency-Key");
        let writes = method == Method::POST && path.starts_with("/v1/") && !reads.contains(&id);
        assert_eq!(takes_key, writes, "{id}");
    }
}

#[tokio::test]
async fn the_documentation_is_read_without_another_host() {
    let broker = Broker::shared().await;
    let page = broker.nobody().get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    for line in page.text.lines().filter(|line| line.contains("src=") || line.contains("href=")) {
        assert!(!line.contains("//"), "{line}");
    }
}
