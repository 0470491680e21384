//! The other end of a webhook: a TLS server that takes, refuses or leaves unanswered what comes, and remembers it.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Instant,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

use crate::harness::azure;

/// Made up: 32 bytes.
pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[derive(Clone)]
pub enum Behaviour {
    Answer(&'static str),
    Silence,
}

pub const TAKE: Behaviour = Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n");

#[derive(Clone)]
pub struct Delivery {
    pub at: Instant,
    pub headers: HashMap<String, String>,
    pub body: String,
    pub taken: bool,
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/siem", listener.local_addr().unwrap().port());
        let receiver = Self {
            url,
            behaviour: Arc::new(Mutex::new(TAKE)),
            deliveries: Arc::new(Mutex::new(Vec::new())),
        };
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let acceptor = TlsAcceptor::from(azure().tls_config().unwrap());
        let here = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (here, acceptor) = (here.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        here.serve(stream).await;
                    }
                });
            }
        });
        receiver
    }

    pub fn behaves(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap().clone()
    }

    /// What was taken, in the order in which it came.
    pub fn taken(&self) -> Vec<i64> {
        let taken = self.deliveries().into_iter().filter(|delivery| delivery.taken);
        taken.flat_map(|delivery| delivery.sequences()).collect()
    }

    async fn serve(&self, stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        while let Some((headers, body)) = request(&mut stream).await {
            let behaviour = self.behaviour.lock().unwrap().clone();
            let taken = matches!(&behaviour, Behaviour::Answer(text) if text.contains(" 20"));
            let delivery = Delivery { at: Instant::now(), headers, body, taken };
            self.deliveries.lock().unwrap().push(delivery);
            match behaviour {
                Behaviour::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Behaviour::Silence => std::future::pending().await,
            }
            stream.flush().await.unwrap();
        }
    }
}

impl Delivery {
    pub fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["type"], "audit.events");
        body["data"]["events"].as_array().unwrap().clone()
    }

    pub fn sequences(&self) -> Vec<i64> {
        self.events().iter().map(|event| event["sequence"].as_i64().unwrap()).collect()
    }

    /// By HMAC-SHA256 as RFC 2104 has it, worked out here.
    pub fn is_signed(&self) -> bool {
        let mut key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
        key.resize(64, 0);
        let pad = |byte: u8| key.iter().map(|key| key ^ byte).collect::<Vec<_>>();
        let (id, time) = (&self.headers["webhook-id"], &self.headers["webhook-timestamp"]);
        let inner = [pad(0x36), format!("{id}.{time}.{}", self.body).into_bytes()].concat();
        let outer = [pad(0x5c), Sha256::digest(&inner).to_vec()].concat();
        let expected = format!("v1,{}", STANDARD.encode(Sha256::digest(&outer)));
        self.headers["webhook-signature"] == expected
    }
}

async fn request(
    stream: &mut (impl AsyncBufReadExt + Unpin),
) -> Option<(HashMap<String, String>, String)> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_lowercase(), value.trim_end().to_owned());
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some((headers, String::from_utf8(body).unwrap()))
}
