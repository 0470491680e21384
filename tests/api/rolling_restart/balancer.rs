//! A load balancer: connections in, the next replica that is ready out.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::harness::Answer;

/// How often `/readyz` is asked.
const PROBE_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Ready,
    /// Not ready because something that it needs is not: asked when nobody is ready.
    Troubled,
    /// Stopping, or not there.
    Away,
}

#[derive(Clone)]
struct Target {
    url: String,
    health: Health,
}

pub struct Balancer {
    pub url: String,
    targets: Arc<Mutex<[Target; 2]>>,
}

impl Balancer {
    /// In front of two replicas, both ready.
    pub async fn start(urls: [&str; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let targets = urls.map(|url| Target { url: url.to_owned(), health: Health::Ready });
        let targets = Arc::new(Mutex::new(targets));
        tokio::spawn(probe(Arc::clone(&targets)));
        let (known, turn) = (Arc::clone(&targets), AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (first, known) = (turn.fetch_add(1, Ordering::Relaxed), known.lock().unwrap());
                let order = (0..2).map(|next| &known[(first + next) % 2]);
                let there = order.filter(|target| target.health != Health::Away);
                let target = there.min_by_key(|target| target.health);
                let target = target.map(|target| target.url.clone());
                drop(known);
                tokio::spawn(relay(near, target));
            }
        });
        Self { url, targets }
    }

    /// Another replica in the place of one that has ended.
    pub fn replace(&self, slot: usize, url: &str) {
        self.targets.lock().unwrap()[slot] = Target { url: url.to_owned(), health: Health::Away };
    }

    pub async fn all_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.targets.lock().unwrap().iter().all(|target| target.health == Health::Ready) {
            assert!(Instant::now() < deadline, "a replica does not become ready");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Where nobody is there the connection just ends, which its client sees.
async fn relay(mut near: TcpStream, target: Option<String>) -> Option<()> {
    let mut far = TcpStream::connect(target?.trim_start_matches("http://")).await.ok()?;
    copy_bidirectional(&mut near, &mut far).await.ok().map(drop)
}

async fn probe(targets: Arc<Mutex<[Target; 2]>>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        for slot in 0..2 {
            let url = targets.lock().unwrap()[slot].url.clone();
            let answer = Answer::if_any(client.get(format!("{url}/readyz"))).await;
            let health = match answer {
                Some(answer) if answer.status == 200 => Health::Ready,
                Some(answer) if answer.body["service"] == "ok" => Health::Troubled,
                _ => Health::Away,
            };
            let mut targets = targets.lock().unwrap();
            // It may have been replaced meanwhile.
            if targets[slot].url == url {
                targets[slot].health = health;
            }
        }
        sleep(PROBE_EVERY).await;
    }
}
